import { readdir, readlink, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { errnoOf, isAbsent, storeError } from './files.js';
import { isAlive, type Keeper } from './keeper.js';
import type { Locker, Locks } from './locks.js';

interface Holder {
  readonly id: string;
  readonly keeper: Keeper;
}

/**
 * Names of containers. A reserved name is a link whose text says who has it: the kernel makes it for
 * one caller only, text and all. A name whose keeper is dead is free.
 */
export class Names {
  readonly #folder: string;
  readonly #locker: Locker;
  readonly #locks: Locks;

  constructor(folder: string, locker: Locker, locks: Locks) {
    this.#folder = folder;
    this.#locker = locker;
    this.#locks = locks;
  }

  /** @throws {@link CaissonError} `ERR_NAME_IN_USE` */
  async reserve(name: string, id: string, keeper: Keeper): Promise<void> {
    if (await this.#link(name, { id, keeper })) return;
    // Taken, or left behind. Taking a name away from the dead must not cross with others who do.
    await this.#locks.hold('names', 'exclusive', async () => {
      const holder = await this.holder(name);
      if (holder !== undefined && (await isAlive(this.#locker, holder.keeper))) {
        throw new CaissonError('ERR_NAME_IN_USE', { name, id: holder.id });
      }
      await this.#unlink(name);
      if (!(await this.#link(name, { id, keeper }))) {
        throw new CaissonError('ERR_NAME_IN_USE', { name });
      }
    });
  }

  /** Frees a name that still means `id`. */
  async release(name: string, id: string): Promise<void> {
    await this.#locks.hold('names', 'exclusive', async () => {
      if ((await this.holder(name))?.id === id) await this.#unlink(name);
    });
  }

  /** Frees the names of the dead. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const holder = await this.holder(name);
      if (holder === undefined || (await isAlive(this.#locker, holder.keeper))) continue;
      await this.release(name, holder.id);
    }
  }

  async holder(name: string): Promise<Holder | undefined> {
    try {
      const text = await readlink(this.#path(name));
      const [id = '', runtimeId = '', ...folder] = text.split(' ');
      return { id, keeper: { runtimeId, folder: folder.join(' ') } };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async #link(name: string, { id, keeper }: Holder): Promise<boolean> {
    const path = this.#path(name);
    try {
      await symlink(`${id} ${keeper.runtimeId} ${keeper.folder}`, path);
      return true;
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      throw storeError(error, path);
    }
  }

  async #unlink(name: string): Promise<void> {
    try {
      await unlink(this.#path(name));
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** What can be a name: no separator, nothing hidden, short enough for a file. */
export const isName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(text);
