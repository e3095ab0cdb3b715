import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, isAbsent, readJson, writeJson } from './files.js';
import type { Descriptor } from './images.js';

/** What is known of a layer beside its files. */
export interface LayerFacts {
  /** As a tar archive, without compression. */
  readonly tarBytes: number;
  /** Nothing of the layers below it shows. */
  readonly hidesAll: boolean;
  /** Made of it to be pushed, where it came from a folder. */
  readonly blob?: Descriptor;
  /** It was made for what lies below it: it is right there alone. */
  readonly settled: boolean;
}

/**
 * `layers/`: unpacked layers, each complete or absent, and beside each a file of what is known of it. Named by diffID, or
 * by chainID; the few others are this library's own.
 */
export class Layers {
  readonly #root: string;

  /** `root`: of the store. */
  constructor(root: string) {
    this.#root = root;
  }

  async has(key: string): Promise<boolean> {
    try {
      return (await stat(this.#path(key))).isDirectory();
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  async facts(key: string): Promise<LayerFacts> {
    const found = ((await readJson(this.#factsOf(key))) ?? {}) as Partial<LayerFacts>;
    return { tarBytes: 0, hidesAll: false, settled: false, ...found };
  }

  async note(key: string, facts: LayerFacts): Promise<void> {
    await writeJson(this.#factsOf(key), facts);
  }

  /** Gives a folder of the store that is complete its name; one that is there already stays. */
  async place(folder: string, key: string): Promise<void> {
    try {
      await rename(join(this.#root, folder), this.#path(key));
    } catch (error) {
      const errno = errnoOf(error);
      // Somebody else was as fast.
      if (errno !== 'ENOTEMPTY' && errno !== 'EEXIST') throw error;
    }
  }

  /** Takes it out of its place, so that it is never there in part. False: it was not there. */
  async takeAway(key: string, folder: string): Promise<boolean> {
    await unlink(this.#factsOf(key)).catch((error: unknown) => {
      if (!isAbsent(error)) throw error;
    });
    try {
      await rename(this.#path(key), join(this.#root, folder));
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** Names of those that come from images. */
  async keys(): Promise<string[]> {
    const names = await readdir(join(this.#root, 'layers'));
    return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
  }

  #path(key: string): string {
    return join(this.#root, 'layers', key);
  }

  #factsOf(key: string): string {
    return `${this.#path(key)}.json`;
  }
}
