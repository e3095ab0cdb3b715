import { Socket } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { abortError, ExecError, throwIfAborted } from '../errors/index.js';
import type { FailureContext } from '../native/failure.js';
import { StdioKind, type Type } from '../native/protocol.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { Supervisor } from '../runtime/supervisor.js';
import type { Collected } from '../runtime/supervisor-types.js';
import type { CollectRequest } from './collect-request.js';
import { asAborted, exitInfo, type ExitInfo } from './exit-info.js';
import type { Encoding } from './options.js';

/** How it ended, and what it printed. */
export interface ExecResult<E extends Encoding = 'utf8'> extends ExitInfo {
  stdout: E extends 'buffer' ? Buffer : string;
  stderr: E extends 'buffer' ? Buffer : string;
  /** Some output came after `maxOutputBytes` and was dropped. */
  truncated: boolean;
}

/** What to send, and what to do with its output. */
export interface CollectJob {
  readonly type: typeof Type.launch | typeof Type.exec;
  readonly encode: (stdio: readonly [StdioKind, StdioKind, StdioKind]) => Uint8Array;
  readonly collect: CollectRequest;
  readonly signal: AbortSignal | undefined;
  readonly context: FailureContext;
}

/** For `run` and `exec` alike: no stream of Node's is made, unless `input` is one. */
export async function collectOutput(
  parts: RuntimeParts,
  supervisor: Supervisor,
  job: CollectJob,
): Promise<ExecResult<Encoding>> {
  const { signal, collect, context } = job;
  throwIfAborted(signal);
  const input = openInput(parts, collect.input);
  const stdin = input.value === null ? StdioKind.null : StdioKind.descriptor;
  const { id, result } = supervisor.collect(
    job.type,
    job.encode([stdin, StdioKind.descriptor, StdioKind.descriptor]),
    input.value,
    collect.maxOutputBytes,
    context,
  );
  let inputError: Error | undefined;
  input.sent((error) => {
    inputError = error;
    supervisor.killSoon(id);
  });
  const kill = (): void => {
    supervisor.killSoon(id);
  };
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const collected = await result;
    if (isAborted(signal)) {
      throw abortError(signal, asAborted(toResult(collected, collect.encoding)));
    }
    // Half an input must not look like a whole one.
    if (inputError !== undefined) throw inputError;
    return finish(collected, job);
  } catch (error) {
    // Killed before its exec: then it did not fail, it was aborted.
    if (isAborted(signal) && !(error instanceof DOMException)) throw abortError(signal);
    throw inputError ?? error;
  } finally {
    signal?.removeEventListener('abort', kill);
  }
}

const isAborted = (signal: AbortSignal | undefined): signal is AbortSignal =>
  signal?.aborted === true;

function finish(collected: Collected, { collect, context }: CollectJob): ExecResult<Encoding> {
  const result = toResult(collected, collect.encoding);
  if (collect.check && result.exitCode !== 0) throw new ExecError(context.argv0 ?? '', result);
  return result;
}

function toResult(collected: Collected, encoding: Encoding): ExecResult<Encoding> {
  const { stdout, stderr, truncated } = collected;
  const decode = (bytes: Uint8Array): Buffer | string => {
    if (bytes.length === 0 && encoding === 'utf8') return '';
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return encoding === 'buffer' ? buffer : buffer.toString('utf8');
  };
  return {
    ...exitInfo(collected.exit),
    stdout: decode(stdout),
    stderr: decode(stderr),
    truncated,
  };
}

interface Input {
  readonly value: Uint8Array | number | null;
  /** To be called once the request was handed over; `failed` when the source of the input fails. */
  sent(failed: (error: Error) => void): void;
}

const NOTHING_TO_DO = (): void => undefined;

function openInput(parts: RuntimeParts, input: CollectRequest['input']): Input {
  if (input === undefined) return { value: null, sent: NOTHING_TO_DO };
  if (typeof input === 'string') return { value: Buffer.from(input), sent: NOTHING_TO_DO };
  if (input instanceof Uint8Array) return { value: input, sent: NOTHING_TO_DO };
  return streamInput(parts, input);
}

/** A stream goes through a pipe of its own, with its back-pressure; its end is the end of stdin. */
function streamInput({ binding }: RuntimeParts, source: Readable): Input {
  const { local, remote } = binding.pipe('toChild');
  const pipe = new Socket({ fd: local, readable: false, writable: true });
  return {
    value: remote,
    sent(failed) {
      binding.closeFd(remote);
      // That nobody reads any more (the process has ended) is its right, and no error of the source.
      let readerGone = false;
      pipe.once('error', () => (readerGone = true));
      source.once('error', (error: Error) => {
        if (!readerGone) failed(error);
      });
      pipeline(source, pipe, NOTHING_TO_DO);
    },
  };
}
