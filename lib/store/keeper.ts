import { access } from 'node:fs/promises';
import { errnoOf, isAbsent } from './files.js';
import { isHeld, type Locker } from './locks.js';

/** The runtime that answers for something, and how to see whether it lives. */
export interface Keeper {
  readonly runtimeId: string;
  /** Absolute path of `<run folder>/<runtime id>/journal`: locked as long as the runtime lives. */
  readonly journal: string;
}

export async function isAlive(locker: Locker, keeper: Keeper): Promise<boolean> {
  try {
    // Locking would make the file.
    await access(keeper.journal);
    return await isHeld(locker, keeper.journal);
  } catch (error) {
    // A journal that we may not open is somebody's.
    return !isAbsent(error) && errnoOf(error) !== 'ENOTDIR';
  }
}

/** Of these keepers, the journals of those that live. Each is asked once. */
export async function livingJournals(
  locker: Locker,
  keepers: Iterable<Keeper>,
): Promise<ReadonlySet<string>> {
  const once = new Map<string, Keeper>();
  for (const keeper of keepers) once.set(keeper.journal, keeper);
  const alive = new Set<string>();
  for (const keeper of once.values()) {
    if (await isAlive(locker, keeper)) alive.add(keeper.journal);
  }
  return alive;
}
