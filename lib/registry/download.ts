import { CaissonError, throwIfAborted, type ErrorCode } from '../errors/index.js';
import type { BlobSink } from '../store/blobs.js';
import type { Descriptor } from '../store/images.js';
import { discard, invalidAnswer, unreachable, type Attempt } from './answer.js';
import type { RegistryHost } from './host.js';
import { pause } from './patience.js';
import { delayMs, isBroken } from './retry.js';
import { headerOf, type Answer } from './transport.js';

export interface Download {
  readonly host: RegistryHost;
  readonly repository: string;
  readonly blob: Descriptor;
  readonly scopes: readonly string[];
  readonly attempt: Attempt;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: ((total: number) => void) | undefined;
}

/**
 * Brings `sink` from where it is to the blob's size, over as many broken connections as it takes while each brings
 * something. What it holds is not looked at: its digest is the caller's to check.
 */
export async function download(sink: BlobSink, task: Download): Promise<void> {
  const { host, blob, attempt, signal } = task;
  const { policy } = host;
  for (let failures = 0; ;) {
    const before = sink.offset;
    try {
      if (sink.offset > blob.size) await sink.restart();
      if (sink.offset === blob.size && blob.size > 0) return;
      await receive(sink, task, await ask(sink, task));
      return;
    } catch (error) {
      throwIfAborted(signal);
      if (CaissonError.is(error) || !isBroken(error)) throw error;
      // The one who came further begins to count anew.
      failures = sink.offset > before ? 1 : failures + 1;
      if (failures >= policy.attempts) throw unreachable(attempt.registry, error);
    }
    await pause(delayMs(failures, policy), signal);
  }
}

async function ask(sink: BlobSink, task: Download): Promise<Answer> {
  const { host, repository, blob, scopes, attempt, signal } = task;
  const from = sink.offset;
  const answer = await host.send({
    method: 'GET',
    to: `${host.endpoint.prefix}${repository}/blobs/${blob.digest}`,
    headers: from > 0 ? { range: `bytes=${from}-` } : {},
    scopes,
    attempt,
    signal,
  });
  if (answer.status === 206 && startsAt(answer, from)) return answer;
  if (answer.status === 200) {
    if (from > 0) await sink.restart();
    return answer;
  }
  if (from > 0 && (answer.status === 416 || answer.status === 206)) {
    // It has its own idea of the blob's size or of what was asked for: once more, and all of it.
    discard(answer.body);
    await sink.restart();
    return await ask(sink, task);
  }
  throw await host.refusal(attempt, answer);
}

function startsAt(answer: Answer, offset: number): boolean {
  const range = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(headerOf(answer, 'content-range') ?? '');
  return Number(range?.[1] ?? Number.NaN) === offset;
}

async function receive(
  sink: BlobSink,
  { blob, attempt, onBytes }: Download,
  { body }: Answer,
): Promise<void> {
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (sink.offset + chunk.length > blob.size) {
      throw invalidAnswer(attempt, `${blob.digest} is longer than its ${blob.size} bytes`);
    }
    await sink.write(chunk);
    onBytes?.(sink.offset);
  }
  if (sink.offset === blob.size) return;
  // As if the connection had broken: some proxies end an answer that their server did not finish.
  throw Object.assign(new Error(`the answer ended after ${sink.offset} of ${blob.size} bytes`), {
    code: 'ECONNRESET',
  });
}

const MIRROR_FAILURES: readonly ErrorCode[] = [
  'ERR_REGISTRY_FAILED',
  'ERR_REGISTRY_DENIED',
  'ERR_REGISTRY_INVALID',
  'ERR_REGISTRY_UNREACHABLE',
  'ERR_MANIFEST_NOT_FOUND',
  'ERR_DIGEST_MISMATCH',
  'ERR_CREDENTIALS_FAILED',
];

/** Whether the next one is asked: all that a mirror can do wrong, and nothing of the caller's own. */
export const isMirrorFailure = (error: unknown): boolean =>
  CaissonError.is(error) && MIRROR_FAILURES.includes(error.code);
