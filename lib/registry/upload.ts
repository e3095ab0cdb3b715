import { Readable } from 'node:stream';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { Descriptor } from '../store/images.js';
import { discard, invalidAnswer, type Attempt } from './answer.js';
import { nextUrl, type RegistryHost } from './host.js';
import { pause } from './patience.js';
import { delayMs, isBroken, isTemporary } from './retry.js';
import { headerOf, type Answer } from './transport.js';

/** Of a chunk, where a registry takes no more at once. */
const CHUNK_BYTES = 16 << 20;
const DONE: ReadonlySet<number> = new Set([200, 201, 202, 204]);
/** The registry has forgotten the upload, or is elsewhere in it than it said: it begins again. */
const LOST: ReadonlySet<number> = new Set([404, 416]);
/** What a Range of an upload says has come. */
const RANGE = /^(?:bytes=)?0-(\d+)$/;

/** A blob that can be read as often as it takes. */
export interface BlobSource extends Descriptor {
  /** From byte `start` up to `end`, which is left out. */
  open(start: number, end: number): Readable;
}

export interface Upload {
  readonly host: RegistryHost;
  readonly repository: string;
  readonly blob: BlobSource;
  readonly scopes: readonly string[];
  readonly attempt: Attempt;
  readonly signal?: AbortSignal | undefined;
  /** How much the registry has, as far as we know. */
  readonly onBytes?: ((total: number) => void) | undefined;
}

/** An upload that the registry has begun. */
interface Session {
  readonly url: URL;
  /** Bytes that it has. */
  readonly offset: number;
  /** In parts of this size; undefined: all the rest at once. */
  readonly chunk: number | undefined;
}

/** Whether the registry has it. A refusal counts as no: some answer so for what is not there. */
export async function hasBlob(task: Omit<Upload, 'onBytes'>): Promise<boolean> {
  const { host, repository, blob, scopes, attempt, signal } = task;
  const to = `${repository}/blobs/${blob.digest}`;
  const answer = await host.send({ method: 'HEAD', to, scopes, attempt, signal });
  discard(answer.body);
  if (isTemporary(answer.status)) throw await host.refusal(attempt, answer);
  return answer.status === 200;
}

/** Has the registry take it from another of its repositories; undefined when it would not. */
export async function mount(
  task: Upload,
  from: string,
  scopes: readonly string[],
): Promise<'mounted' | Session | undefined> {
  const query = new URLSearchParams({ mount: task.blob.digest, from });
  try {
    const answer = await begin({ ...task, scopes }, `?${query.toString()}`);
    if (answer.status === 201) return 'mounted';
    if (answer.status === 202) return sessionOf(task, answer);
    discard(answer.body);
  } catch (error) {
    // A token server may refuse because of the other repository alone.
    if (!CaissonError.is(error, 'ERR_REGISTRY_DENIED')) throw error;
  }
  return undefined;
}

/**
 * Sends the blob, at first in one piece, which every registry takes. Goes on where the registry says that it is when the
 * connection breaks, and in chunks where it wants that.
 */
export async function upload(task: Upload, begun?: Session): Promise<void> {
  const { host, attempt, signal } = task;
  let session = begun;
  let reached = 0;
  for (let failures = 0; ;) {
    let failure: unknown;
    try {
      session ??= await start(task);
      const answer = await sendRest(task, session);
      if (DONE.has(answer.status)) {
        discard(answer.body);
        return;
      }
      if (answer.status === 413 && session.chunk === undefined) {
        discard(answer.body);
        session = { ...(await start(task)), chunk: CHUNK_BYTES };
        continue;
      }
      failure = await host.refusal(attempt, answer);
      if (LOST.has(answer.status)) session = undefined;
      else if (!isTemporary(answer.status)) throw failure;
    } catch (error) {
      throwIfAborted(signal);
      if (!CaissonError.is(error, 'ERR_REGISTRY_UNREACHABLE') || !isBroken(error)) throw error;
      failure = error;
    }
    session = await whereItIs(task, session);
    // The one who came further begins to count anew.
    failures = session !== undefined && session.offset > reached ? 1 : failures + 1;
    reached = Math.max(reached, session?.offset ?? 0);
    if (failures >= host.policy.attempts) throw failure;
    await pause(delayMs(failures, host.policy), signal);
  }
}

async function start(task: Upload): Promise<Session> {
  const answer = await begin(task, '');
  if (answer.status !== 202) throw await task.host.refusal(task.attempt, answer);
  return sessionOf(task, answer);
}

async function begin(
  { host, repository, scopes, attempt, signal }: Upload,
  query: string,
): Promise<Answer> {
  return await host.send({
    method: 'POST',
    to: `${repository}/blobs/uploads/${query}`,
    headers: { 'content-length': '0' },
    scopes,
    attempt,
    signal,
  });
}

function sessionOf({ attempt }: Upload, answer: Answer): Session {
  discard(answer.body);
  const least = Number(headerOf(answer, 'oci-chunk-min-length') ?? 0);
  return {
    url: nextUrl(headerOf(answer, 'location'), answer.url, attempt),
    offset: 0,
    chunk: least > 0 && least < 2 ** 40 ? Math.max(least, CHUNK_BYTES) : undefined,
  };
}

/** The answer to its end, or the first one that is no success. */
async function sendRest(task: Upload, session: Session): Promise<Answer> {
  const { blob, attempt, onBytes } = task;
  if (session.chunk === undefined && session.offset === 0) {
    return await put(task, session.url, 0, blob.size);
  }
  const chunk = session.chunk ?? blob.size;
  let { url, offset } = session;
  while (offset < blob.size) {
    const end = Math.min(blob.size, offset + chunk);
    const answer = await patch(task, url, offset, end);
    if (!DONE.has(answer.status)) return answer;
    discard(answer.body);
    url = nextUrl(headerOf(answer, 'location') ?? url.href, url, attempt);
    const has = RANGE.exec(headerOf(answer, 'range') ?? '')?.[1];
    const reached = has === undefined ? end : Number(has) + 1;
    if (reached <= offset || reached > end) {
      throw invalidAnswer(attempt, `it has ${reached} bytes of an upload that sent ${end}`);
    }
    offset = reached;
    onBytes?.(offset);
  }
  return await put(task, url, blob.size, blob.size);
}

async function patch(task: Upload, url: URL, start: number, end: number): Promise<Answer> {
  return await sendBytes(task, 'PATCH', url, start, end, {
    'content-range': `${start}-${end - 1}`,
  });
}

/** The end of an upload, and what of it is still to come. */
async function put(task: Upload, url: URL, start: number, end: number): Promise<Answer> {
  const last = new URL(url);
  // As text: what is signed stays as it was signed.
  last.search += `${last.search === '' ? '?' : '&'}digest=${encodeURIComponent(task.blob.digest)}`;
  return await sendBytes(task, 'PUT', last, start, end, {});
}

async function sendBytes(
  { host, blob, scopes, attempt, signal, onBytes }: Upload,
  method: 'PATCH' | 'PUT',
  url: URL,
  start: number,
  end: number,
  headers: Readonly<Record<string, string>>,
): Promise<Answer> {
  let sourceError: unknown;
  const body = (): Readable =>
    blob.open(start, end).on('error', (error) => {
      // A connection that breaks takes it along: that is none of its own.
      if (!isBroken(error)) sourceError ??= error;
    });
  try {
    return await host.send({
      method,
      to: url,
      headers: {
        ...headers,
        'content-length': String(end - start),
        ...(end > start && { 'content-type': 'application/octet-stream' }),
      },
      ...(end > start && { body: () => counted(body(), start, onBytes) }),
      scopes,
      attempt,
      signal,
      repeatable: false,
    });
  } catch (error) {
    throw sourceError ?? error;
  }
}

function counted(source: Readable, start: number, onBytes: Upload['onBytes']): Readable {
  if (onBytes === undefined) return source;
  let total = start;
  const through = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      yield chunk;
      onBytes((total += chunk.length));
    }
  };
  return Readable.from(through(), { objectMode: false });
}

/** How far a broken upload came; undefined when it has to begin again. */
async function whereItIs(task: Upload, session: Session | undefined): Promise<Session | undefined> {
  const { host, blob, scopes, attempt, signal } = task;
  if (session === undefined) return undefined;
  try {
    const answer = await host.send({ method: 'GET', to: session.url, scopes, attempt, signal });
    discard(answer.body);
    const last = Number(RANGE.exec(headerOf(answer, 'range') ?? '')?.[1] ?? Number.NaN);
    if (answer.status !== 204 || !(last < blob.size)) return undefined;
    // `0-0` is what those say who have nothing.
    const offset = last === 0 ? 0 : last + 1;
    const url = nextUrl(headerOf(answer, 'location') ?? session.url.href, answer.url, attempt);
    return { ...session, url, offset };
  } catch (error) {
    if (!CaissonError.is(error)) throw error;
    return undefined;
  }
}
