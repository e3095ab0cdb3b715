import { createHash } from 'node:crypto';
import { stat, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { ignoreAbsent, isAbsent, makeFolder, namesIn, TEMPORARY } from './files.js';
import { GrowingFile } from './growing-file.js';
import { Growth } from './growth.js';
import type { Digest } from './images.js';
import type { Locks } from './locks.js';

/** What the bytes of a blob go into: a file that grows. */
export interface BlobSink {
  /** Bytes that are there already, of a download that was cut off. */
  readonly offset: number;
  /** Appends; resolves when it is in the file. */
  write(chunk: Uint8Array): Promise<void>;
  /** Begins again, over what is there: the sender did not go on where we were. */
  restart(): Promise<void>;
}

/** One of known digest that is being fetched. Its bytes are to be checked by who calls `keep`. */
export interface PartialBlob extends BlobSink {
  readonly path: string;
  /** Makes it a blob: on the disk, under its name. */
  keep(): Promise<void>;
  /** What came was not it: nothing of it is left. */
  clear(): Promise<void>;
  /** The same, and it is not to come again. */
  discard(): Promise<void>;
}

/** One whose digest only its end will tell. */
export interface NewBlob {
  readonly path: string;
  readonly size: number;
  write(chunk: Uint8Array): Promise<void>;
  /** No more comes: its digest. It holds no descriptor any more, and is neither kept nor discarded yet. */
  end(): Promise<Digest>;
  /** Makes it a blob: on the disk, under its name. */
  keep(): Promise<{ readonly digest: Digest; readonly size: number }>;
  discard(): Promise<void>;
}

/** By which one sees that it is still the same file. */
export interface SeenBlob {
  readonly ino: number;
  readonly size: number;
  readonly ctimeMs: number;
}

/** The hexadecimal digits of a digest, which is checked before it becomes a path. */
export function hexOf(digest: Digest, path: string): string {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (hex === undefined) {
    const reason = `${JSON.stringify(digest)} is not a digest`;
    throw new CaissonError('ERR_STORE_CORRUPT', { path, reason });
  }
  return hex;
}

/**
 * The blobs of an OCI image layout, and beside them those that are not whole yet. A whole one never changes and needs
 * no lock; of one that is being fetched there is one, whoever asks, also from several processes.
 */
export class Blobs {
  readonly #layout: string;
  readonly #locks: Locks;
  readonly #growth: Growth;
  #made = false;

  constructor(layout: string, locks: Locks) {
    this.#layout = layout;
    this.#locks = locks;
    this.#growth = new Growth(join(layout, PARTIAL), locks);
  }

  path(digest: Digest): string {
    return join(this.#layout, 'blobs/sha256', hexOf(digest, this.#layout));
  }

  /** Its size, or undefined when it is not there. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    return (await this.seen(digest))?.size;
  }

  /**
   * Does `work` for a blob that is not there, as the only one who does. `'exists'`: it was there, or somebody else has
   * just fetched it. What `work` neither keeps nor discards stays, and the next one goes on from there.
   */
  async fetch<T>(
    digest: Digest,
    size: number,
    work: (blob: PartialBlob) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T | 'exists'> {
    const exists = async (): Promise<boolean> => (await this.sizeOf(digest)) !== undefined;
    if (await exists()) return 'exists';
    const hex = hexOf(digest, this.#layout);
    return await this.#locks.hold(
      lockOf(hex),
      'exclusive',
      async () => {
        if (await exists()) return 'exists';
        await this.#make();
        const file = await GrowingFile.open(this.#partial(hex), size);
        try {
          return await work(partialBlob(file, this.path(digest)));
        } finally {
          await file.close();
        }
      },
      signal,
    );
  }

  /** Begins one whose digest is not known yet. */
  async begin(): Promise<NewBlob> {
    await this.#make();
    const { path, done } = await this.#growth.begin();
    try {
      const file = await GrowingFile.open(path, 0);
      return newBlob(file, (digest) => this.path(digest), done);
    } catch (error) {
      await done();
      throw error;
    }
  }

  /** How it lies there, or undefined when it does not. */
  async seen(digest: Digest): Promise<SeenBlob | undefined> {
    try {
      const { ino, size, ctimeMs } = await stat(this.path(digest));
      return { ino, size, ctimeMs };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /** Takes a damaged one away, unless it is another by now. False: it is. */
  async removeDamaged(digest: Digest, seen: SeenBlob): Promise<boolean> {
    const lock = lockOf(hexOf(digest, this.#layout));
    return await this.#locks.hold(lock, 'exclusive', async () => {
      const now = await this.seen(digest);
      const same = now?.ino === seen.ino && now.ctimeMs === seen.ctimeMs && now.size === seen.size;
      if (same) await unlink(this.path(digest));
      return same;
    });
  }

  /** Removes new ones whose makers are dead. Those of known digest stay: the next fetch goes on with them. */
  async sweep(): Promise<void> {
    await this.#growth.sweep();
  }

  /** Removes those that nobody is fetching and that were last written to before `at`. */
  async removePartials(at: Date): Promise<void> {
    await this.sweep();
    for (const partial of await this.partials()) {
      const name = basename(partial.path);
      if (name.startsWith(TEMPORARY) || partial.at >= at) continue;
      await this.#locks.tryHold(lockOf(name), 'exclusive', async () => {
        await unlink(partial.path).catch(ignoreAbsent);
      });
    }
  }

  /** What is left of downloads that were cut off and that nobody goes on with. */
  async partials(): Promise<{ readonly path: string; readonly size: number; readonly at: Date }[]> {
    const folder = join(this.#layout, PARTIAL);
    const found = [];
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      try {
        const { size, mtime } = await stat(path);
        found.push({ path, size, at: mtime });
      } catch (error) {
        if (!isAbsent(error)) throw error;
      }
    }
    return found;
  }

  /** Digests and sizes of those that are whole. */
  async list(): Promise<Map<Digest, number>> {
    const folder = join(this.#layout, 'blobs/sha256');
    const found = new Map<Digest, number>();
    for (const name of await namesIn(folder)) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      const size = await this.sizeOf(`sha256:${name}`);
      if (size !== undefined) found.set(`sha256:${name}`, size);
    }
    return found;
  }

  #partial(name: string): string {
    return join(this.#layout, PARTIAL, name);
  }

  async #make(): Promise<void> {
    if (this.#made) return;
    await makeFolder(join(this.#layout, 'blobs/sha256'));
    await makeFolder(join(this.#layout, PARTIAL));
    this.#made = true;
  }
}

const PARTIAL = 'partial';

/** Few files for all of them. Two blobs may share one, and then come one after the other. */
const lockOf = (hex: string): string => `blob-${hex.replace(/[^0-9a-f]/g, '').slice(0, 3)}`;

function partialBlob(file: GrowingFile, final: string): PartialBlob {
  return {
    path: file.path,
    get offset() {
      return file.offset;
    },
    write: (chunk) => file.write(chunk),
    restart: () => file.restart(),
    clear: () => file.clear(),
    discard: () => file.discard(),
    keep: () => file.publish(final),
  };
}

function newBlob(
  file: GrowingFile,
  finalOf: (digest: Digest) => string,
  done: () => Promise<void>,
): NewBlob {
  const hash = createHash('sha256');
  let ended: Promise<Digest> | undefined;
  const end = async (): Promise<Digest> => {
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    return `sha256:${hash.digest('hex')}`;
  };
  return {
    path: file.path,
    get size() {
      return file.offset;
    },
    write: async (chunk) => {
      hash.update(chunk);
      await file.write(chunk);
    },
    end: () => (ended ??= end()),
    discard: async () => {
      await file.discard();
      await file.close();
      await done();
    },
    keep: async () => {
      const digest = await (ended ??= end());
      await file.name(finalOf(digest));
      await done();
      return { digest, size: file.offset };
    },
  };
}
