import { Socket } from 'node:net';
import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';

const PIPE_BYTES = 1 << 20;

/**
 * The archive of a layer that came from a folder: the bytes that its diffID is the digest of, as a worker of the
 * supervisor reads them. It goes on as it is read, and ends when nobody reads any more.
 */
export async function* exportLayer(
  parts: RuntimeParts,
  /** Store-relative. */
  layer: string,
): AsyncGenerator<Uint8Array> {
  const { local, remote } = parts.binding.pipe('fromChild', PIPE_BYTES);
  const stream = new Socket({ fd: local, readable: true, writable: false });
  const stop = new AbortController();
  const body = new FieldWriter(128).string(Tag.exportLayer, layer).bytes();
  const context = { action: 'export a layer', pathOf: (): string => parts.store.path(layer) };
  const done = parts.supervisor.request(Type.export, body, context, stop.signal, [remote]);
  done.catch(() => undefined); // awaited below, when all has been read
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
