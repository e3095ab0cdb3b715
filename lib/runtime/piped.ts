import { Socket } from 'node:net';
import type { FailureContext } from '../native/failure.js';
import type { Type } from '../native/protocol.js';
import type { RuntimeParts } from './parts.js';

const PIPE_BYTES = 1 << 20;

export interface PipedRequest {
  readonly type: Type;
  readonly body: Uint8Array;
  readonly context: FailureContext;
  readonly signal?: AbortSignal | undefined;
  /** Told when nothing is written any more, whoever reads. */
  readonly ended?: () => void;
}

/**
 * What a worker of the supervisor writes for a request, as it is read: the worker waits for who reads, and ends when
 * nobody does any more.
 */
export async function* piped(
  parts: RuntimeParts,
  { type, body, context, signal, ended }: PipedRequest,
): AsyncGenerator<Uint8Array> {
  const { local, remote } = parts.binding.pipe('fromChild', PIPE_BYTES);
  const stream = new Socket({ fd: local, readable: true, writable: false });
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const done = parts.supervisor.request(type, body, context, either, [remote]);
  const tell = (): void => ended?.();
  done.then(tell, tell); // it is awaited below, when all has been read
  try {
    yield* stream as AsyncIterable<Uint8Array>;
    // Why the bytes have ended.
    await done;
  } finally {
    stop.abort();
    stream.destroy();
    await done.catch(() => undefined);
  }
}
