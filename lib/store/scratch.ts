import { access, lstat, mkdir, rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, ignoreAbsent, isAbsent, namesIn, temporaryName } from './files.js';
import type { Locks } from './locks.js';

/** A Runtime has claimed its folder long before. */
const YOUNG_MS = 60_000;
/** Where each Runtime has a folder that is called by its id. */
const FOLDERS = ['scratch', 'trash'];

export interface Claim {
  readonly release: () => Promise<void>;
  /** The supervisor has ended: an empty folder goes. */
  readonly withdraw: () => Promise<void>;
}

/**
 * What supervisors work in. Each removes its own, at its end or by its journal; but a reboot forgets journals, and
 * these folders lie in the store. So each is locked by its program while that lives.
 */
export class Scratch {
  readonly #root: string;
  readonly #locks: Locks;

  /** `root`: of the store. */
  constructor(root: string, locks: Locks) {
    this.#root = root;
    this.#locks = locks;
  }

  /** Says that the Runtime of this id lives, until it is released. Undefined: somebody else says so. */
  async claim(id: string): Promise<Claim | undefined> {
    const folder = join(this.#root, 'scratch', id);
    try {
      await mkdir(folder, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    // Never a file in its place, should it have gone meanwhile.
    const lock = await this.#locks.tryFile(`${folder}/.`);
    if (lock === null) return undefined;
    return {
      release: () => {
        lock.release();
        return Promise.resolve();
      },
      withdraw: async () => {
        lock.release();
        await rmdir(folder).catch(() => undefined); // it is gone, or others remove what is in it
      },
    };
  }

  /** Takes what the dead have left out of its place. Returns where it is now, which is to be removed. */
  async takeDead(): Promise<string[]> {
    const taken: string[] = [];
    for (const parent of FOLDERS) {
      for (const id of await namesIn(join(this.#root, parent))) {
        if (!(await this.#isDead(parent, id))) continue;
        // What layers/ has of this kind goes too, whoever dies now.
        const away = `layers/${temporaryName()}`;
        try {
          await rename(join(this.#root, parent, id), join(this.#root, away));
          taken.push(away);
        } catch (error) {
          ignoreAbsent(error);
        }
      }
    }
    return taken;
  }

  async #isDead(parent: string, id: string): Promise<boolean> {
    try {
      const { ctimeMs } = await lstat(join(this.#root, parent, id));
      if (Date.now() - ctimeMs < YOUNG_MS) return false;
      // Locking makes a file where there is nothing, but not below that.
      const scratch = join(this.#root, 'scratch', id);
      await access(scratch);
      const lock = await this.#locks.tryFile(`${scratch}/.`);
      lock?.release();
      return lock !== null;
    } catch (error) {
      // Its scratch is gone already, and this is what is left of its trash; or all of it has just gone.
      if (isAbsent(error) || errnoOf(error) === 'ENOTDIR') return parent === 'trash';
      throw error;
    }
  }
}
