import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileLock } from '../native/types.js';
import { createAtomically, isAbsent, readJson } from './files.js';
import { tryLock, type Locker, type Locks } from './locks.js';

/** Guards images, layers and leases against a removal in between. */
export const IMAGES_LOCK = 'images';

/**
 * Says, across processes, that the layers of an image are in use: a `run` writes no record, yet its
 * layers must not go away under it. One file per image, which lists the layers and is locked (shared)
 * by everybody who uses them.
 */
export class Leases {
  readonly #folder: string;
  readonly #locker: Locker;
  readonly #locks: Locks;

  constructor(folder: string, locker: Locker, locks: Locks) {
    this.#folder = folder;
    this.#locker = locker;
    this.#locks = locks;
  }

  /**
   * Holds `layers` for the image `name` (hexadecimal digits) from now on. `check` runs before, at a
   * time when nothing is being removed: it throws when the image is gone.
   */
  async take(
    name: string,
    layers: readonly string[],
    check: () => Promise<void>,
  ): Promise<FileLock> {
    return await this.#locks.hold(IMAGES_LOCK, 'shared', async () => {
      await check();
      const path = join(this.#folder, name);
      await createAtomically(path, `${JSON.stringify(layers)}\n`);
      // Only the holder of IMAGES_LOCK (exclusive) takes these files exclusively: never now.
      const lock = await tryLock(this.#locker, path, 'shared');
      if (lock === null) throw new Error('a lease is locked exclusively outside the images lock');
      return lock;
    });
  }

  /** Names and layers in use by anybody; forgets the rest. The caller holds IMAGES_LOCK exclusively. */
  async inUse(): Promise<ReadonlyMap<string, readonly string[]>> {
    const used = new Map<string, readonly string[]>();
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith('.')) continue;
      const path = join(this.#folder, name);
      const lock = await tryLock(this.#locker, path, 'exclusive');
      if (lock === null) {
        used.set(name, ((await readJson(path)) ?? []) as readonly string[]);
        continue;
      }
      try {
        await unlink(path);
      } catch (error) {
        if (!isAbsent(error)) throw error;
      } finally {
        lock.release();
      }
    }
    return used;
  }
}
