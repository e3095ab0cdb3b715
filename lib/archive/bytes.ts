import type { FileHandle } from 'node:fs/promises';

/** Bytes that are read from the first to the last. */
export interface ForwardBytes {
  /** How many there were before. */
  readonly position: number;
  /** So many, or fewer where they end. */
  read(count: number): Promise<Buffer>;
  /** Passes over so many; false where they end before that. */
  skip(count: number): Promise<boolean>;
}

/** Those of a file, where passing over them costs nothing. */
export class FileBytes implements ForwardBytes {
  position = 0;
  readonly #file: FileHandle;
  readonly #size: number;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  async read(count: number): Promise<Buffer> {
    const buffer = await readFully(this.#file, this.position, count);
    this.position += buffer.length;
    return buffer;
  }

  skip(count: number): Promise<boolean> {
    this.position += count;
    return Promise.resolve(this.position <= this.#size);
  }
}

/** So many bytes from `offset` on, or fewer where the file ends. */
export async function readFully(file: FileHandle, offset: number, count: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(count);
  let used = 0;
  while (used < count) {
    const { bytesRead } = await file.read(buffer, used, count - used, offset + used);
    if (bytesRead === 0) break;
    used += bytesRead;
  }
  return buffer.subarray(0, used);
}

/** Those of a stream, in the pieces it comes in: what is taken is never copied. */
export class StreamBytes implements ForwardBytes {
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `most`, or none where they end. */
  async take(most: number): Promise<Buffer> {
    await this.#fill(1);
    const taken = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(taken.length);
    this.position += taken.length;
    return taken;
  }

  async read(count: number): Promise<Buffer> {
    await this.#fill(count);
    return await this.take(count);
  }

  /** The next bytes, which stay. */
  async peek(count: number): Promise<Buffer> {
    await this.#fill(count);
    return this.#held.subarray(0, count);
  }

  async skip(count: number): Promise<boolean> {
    for (let left = count; left > 0;) {
      const { length } = await this.take(left);
      if (length === 0) return false;
      left -= length;
    }
    return true;
  }

  /** All that comes; who stops before closes it. */
  async *rest(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = await this.take(Number.MAX_SAFE_INTEGER);
        if (chunk.length === 0) return;
        yield chunk;
      }
    } finally {
      await this.close();
    }
  }

  /** No more is wanted: what they come from is destroyed, unless it has ended. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #fill(count: number): Promise<void> {
    if (this.#held.length >= count) return;
    const parts = [this.#held];
    for (let length = this.#held.length; length < count;) {
      const next = await this.#chunks.next();
      if (next.done === true) break;
      const { buffer, byteOffset, byteLength } = next.value;
      parts.push(Buffer.from(buffer, byteOffset, byteLength));
      length += byteLength;
    }
    const [only, second] = parts.filter((part) => part.length > 0);
    this.#held = second === undefined ? (only ?? Buffer.alloc(0)) : Buffer.concat(parts);
  }
}
