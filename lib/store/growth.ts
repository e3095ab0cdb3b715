import { lstat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileLock } from '../native/types.js';
import { ignoreAbsent, namesIn, temporaryName } from './files.js';
import type { Locks } from './locks.js';

interface Sign {
  readonly name: string;
  readonly lock: FileLock;
}

/** It takes this long at most from a name to a lock on it. */
const YOUNG_MS = 60_000;
/** `.tmp-0123456789abcdef` is the sign of those that are called `.tmp-0123456789abcdef-…`. */
const NAME = /^(\.tmp-[0-9a-f]{16})(?:-[0-9a-f]+)?$/;

/**
 * Names of files that grow without a name of their own yet, in one folder. They begin with that of a file which is
 * locked for as long as one of them is used: others see by it whether their maker lives, however long they take. One
 * descriptor, however many they are.
 */
export class Growth {
  readonly #folder: string;
  readonly #locks: Locks;
  #sign: Promise<Sign> | undefined;
  #used = 0;

  constructor(folder: string, locks: Locks) {
    this.#folder = folder;
    this.#locks = locks;
  }

  /** A new path, its user's until `done`. */
  async begin(): Promise<{ readonly path: string; readonly done: () => Promise<void> }> {
    const number = this.#used++;
    this.#sign ??= this.#begin();
    const sign = this.#sign;
    let isDone = false;
    const done = async (): Promise<void> => {
      if (isDone) return;
      isDone = true;
      await this.#done(sign);
    };
    try {
      const { name } = await sign;
      const unique = number.toString(16) + temporaryName().slice(-8);
      return { path: join(this.#folder, `${name}-${unique}`), done };
    } catch (error) {
      await done().catch(() => undefined);
      throw error;
    }
  }

  /** Removes what the dead have left. */
  async sweep(): Promise<void> {
    const bySign = new Map<string, string[]>();
    for (const name of await namesIn(this.#folder)) {
      const sign = NAME.exec(name)?.[1];
      if (sign !== undefined) bySign.set(sign, [...(bySign.get(sign) ?? []), name]);
    }
    for (const [sign, names] of bySign) await this.#sweep(sign, names);
  }

  async #sweep(sign: string, names: readonly string[]): Promise<void> {
    const path = join(this.#folder, sign);
    if (await this.#isYoung(names)) return;
    // Makes it where it is missing: then its maker has ended in between, or was killed at the end.
    const lock = await this.#locks.tryFile(path);
    if (lock === null) return;
    try {
      for (const name of [...names, sign])
        await unlink(join(this.#folder, name)).catch(ignoreAbsent);
    } finally {
      lock.release();
    }
  }

  async #isYoung(names: readonly string[]): Promise<boolean> {
    for (const name of names) {
      try {
        const { ctimeMs } = await lstat(join(this.#folder, name));
        if (Date.now() - ctimeMs < YOUNG_MS) return true;
      } catch (error) {
        ignoreAbsent(error);
      }
    }
    return false;
  }

  async #begin(): Promise<Sign> {
    const name = temporaryName();
    const lock = await this.#locks.tryFile(join(this.#folder, name));
    if (lock === null) throw new Error('a new file is locked by somebody else');
    return { name, lock };
  }

  async #done(sign: Promise<Sign>): Promise<void> {
    if (--this.#used > 0) return;
    this.#sign = undefined;
    const { name, lock } = await sign;
    await unlink(join(this.#folder, name)).catch(ignoreAbsent);
    lock.release();
  }
}
