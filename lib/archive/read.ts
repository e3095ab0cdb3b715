import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { invalid, kindOf } from '../errors/arguments.js';
import { abortError, throwIfAborted } from '../errors/index.js';
import { errnoOf } from '../store/files.js';
import { readFully, StreamBytes } from './bytes.js';
import { decompress } from './decompress.js';
import { membersOfFile, membersOfFolder } from './file-members.js';
import type { ArchivedReference } from './image.js';
import { invalidArchive } from './invalid.js';
import { compressionOfBytes, MAGIC_BYTES } from './media-types.js';
import type { TakeBlob } from './members.js';
import { readImages } from './read-images.js';
import { membersOfStream } from './stream-members.js';

export interface ReadArchiveOptions {
  /** Keeps the blobs of what can be read only once. Never called for a folder or for a plain tar file. */
  readonly takeBlob: TakeBlob;
  readonly signal?: AbortSignal | undefined;
}

const CHUNK_BYTES = 1 << 20;

/**
 * What images there are in an archive of `docker save`, an OCI archive, or a folder with an OCI layout: a path, or
 * a stream. Archives may be compressed with gzip, or zstd where Node has it. Of a folder or a plain file nothing but
 * documents is read, and the layers' places are in it; of anything else every blob goes through `takeBlob`. A
 * stream is read to its end, or destroyed.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID`; `ERR_UNSUPPORTED` for a compression; `ERR_INVALID_ARGUMENT`
 * when there is no such file
 */
export async function readArchive(
  source: string | Readable,
  { takeBlob, signal }: ReadArchiveOptions,
): Promise<readonly ArchivedReference[]> {
  throwIfAborted(signal);
  if (typeof source !== 'string') return await readStream(source, takeBlob, signal);

  const path = resolve(source);
  const found = await stat(path).catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') throw error;
    throw invalid('source', `no such file or folder: ${JSON.stringify(source)}`);
  });
  if (found.isDirectory()) return await readImages(membersOfFolder(path));
  if (found.isFile()) {
    const file = await open(path);
    try {
      const head = await readFully(file, 0, MAGIC_BYTES);
      if (compressionOfBytes(head) === 'none') {
        if (head.length === 0) throw invalidArchive('it is empty');
        return await readImages(await membersOfFile({ path, file, size: found.size, signal }));
      }
    } finally {
      await file.close();
    }
  }
  return await readStream(createReadStream(path, { highWaterMark: CHUNK_BYTES }), takeBlob, signal);
}

async function readStream(
  stream: Readable,
  takeBlob: TakeBlob,
  signal: AbortSignal | undefined,
): Promise<readonly ArchivedReference[]> {
  let bytes: StreamBytes | undefined;
  try {
    bytes = await decompress(new StreamBytes(new StreamChunks(stream, signal)));
    return await readImages(await membersOfStream(bytes, takeBlob));
  } finally {
    // Decompression may be waiting for more of it; after its end this does nothing.
    stream.destroy();
    await bytes?.close();
  }
}

/** What a stream gives, until an abort: a stream whose source never answers cannot even be destroyed. */
class StreamChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: Readable;
  readonly #chunks: AsyncIterator<unknown, undefined>;
  readonly #signal: AbortSignal | undefined;

  constructor(stream: Readable, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#chunks = (stream as AsyncIterable<unknown, undefined>)[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    throwIfAborted(this.#signal);
    const { done, value } = await this.#orAborted(this.#chunks.next());
    if (done === true) return { done, value: undefined };
    if (value instanceof Uint8Array) return { done: false, value };
    throw invalid('source', `must be a stream of bytes, not of ${kindOf(value)}`);
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#stream.destroy();
    return Promise.resolve({ done: true, value: undefined });
  }

  async #orAborted<T>(work: Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined) return await work;
    return await new Promise<T>((resolve, reject) => {
      const abort = (): void => reject(abortError(signal));
      signal.addEventListener('abort', abort, { once: true });
      work.finally(() => signal.removeEventListener('abort', abort)).then(resolve, reject);
    });
  }
}
