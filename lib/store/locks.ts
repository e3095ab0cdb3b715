import { join } from 'node:path';
import { throwIfAborted } from '../errors/index.js';
import type { Binding, FileLock } from '../native/types.js';

export type Locker = Pick<Binding, 'lock'>;

/**
 * Named locks of a store, held across processes by flock(2): they end with their holder, however it
 * ends. Not reentrant. The files are never removed, so that everybody locks the same one.
 */
export class Locks {
  readonly #folder: string;
  readonly #locker: Locker;

  constructor(folder: string, locker: Locker) {
    this.#folder = folder;
    this.#locker = locker;
  }

  /** Does `work` while holding the lock. */
  async hold<T>(
    name: string,
    mode: 'shared' | 'exclusive',
    work: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    throwIfAborted(signal);
    const lock = await this.#locker.lock(this.#path(name), mode, true);
    try {
      throwIfAborted(signal);
      return await work();
    } finally {
      lock?.release();
    }
  }

  /** As `hold`, but only if nobody else holds it now; undefined otherwise. */
  async tryHold<T>(
    name: string,
    mode: 'shared' | 'exclusive',
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    const lock = await this.#locker.lock(this.#path(name), mode, false);
    if (lock === null) return undefined;
    try {
      return await work();
    } finally {
      lock.release();
    }
  }

  /** A lock on a file that is not one of these, kept until `release`; null when somebody else has it. */
  async tryFile(path: string): Promise<FileLock | null> {
    return await tryLock(this.#locker, path, 'exclusive');
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.lock`);
  }
}

/** Whether somebody holds the lock file exclusively. An absent file is held by nobody. */
export async function isHeld(locker: Locker, path: string): Promise<boolean> {
  const lock = await locker.lock(path, 'shared', false);
  lock?.release();
  return lock === null;
}

/** A lock kept until `release`, or null when it cannot be had now. */
export async function tryLock(
  locker: Locker,
  path: string,
  mode: 'shared' | 'exclusive',
): Promise<FileLock | null> {
  return await locker.lock(path, mode, false);
}
