import { constants, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ignoreAbsent, storeError, syncFolder } from './files.js';

/** A file that gets its name when all of it is there. */
export class GrowingFile {
  readonly path: string;
  readonly #file: FileHandle;
  #offset: number;

  constructor(path: string, file: FileHandle, offset: number) {
    this.path = path;
    this.#file = file;
    this.#offset = offset;
  }

  /** Goes on with what is there, unless it is more than `most` bytes. */
  static async open(path: string, most: number): Promise<GrowingFile> {
    // Not to append: what is written has a place of its own, also when it begins again.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    try {
      const { size } = await file.stat();
      if (size > most) await file.truncate(0);
      return new GrowingFile(path, file, size > most ? 0 : size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get offset(): number {
    return this.#offset;
  }

  async write(chunk: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < chunk.length;) {
        const left = chunk.length - done;
        const { bytesWritten } = await this.#file.write(chunk, done, left, this.#offset);
        done += bytesWritten;
        this.#offset += bytesWritten;
      }
    } catch (error) {
      throw storeError(error, this.path);
    }
  }

  restart(): Promise<void> {
    this.#offset = 0;
    return Promise.resolve();
  }

  async clear(): Promise<void> {
    await this.#file.truncate(0);
    this.#offset = 0;
  }

  async discard(): Promise<void> {
    await unlink(this.path).catch(ignoreAbsent);
  }

  /** Gives it a name when it is on the disk. */
  async publish(path: string): Promise<void> {
    await this.sync();
    await this.name(path);
  }

  async sync(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (error) {
      throw storeError(error, this.path);
    }
  }

  async name(path: string): Promise<void> {
    try {
      await rename(this.path, path);
      await syncFolder(dirname(path));
    } catch (error) {
      throw storeError(error, path);
    }
  }

  /** Twice is silent. */
  async close(): Promise<void> {
    await this.#file.close();
  }
}
