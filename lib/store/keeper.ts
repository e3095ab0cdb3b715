import { access } from 'node:fs/promises';
import { errnoOf, isAbsent } from './files.js';
import { isHeld, type Locker } from './locks.js';

/** The runtime that answers for something, and how to see whether it lives. */
export interface Keeper {
  readonly runtimeId: string;
  /** Absolute path of `<run folder>/<runtime id>`: locked as long as the runtime lives. */
  readonly folder: string;
}

export async function isAlive(locker: Locker, keeper: Keeper): Promise<boolean> {
  try {
    // Locking makes a file where there is nothing, and the folder may go at any moment: below it
    // nothing can be made then.
    await access(keeper.folder);
    return await isHeld(locker, `${keeper.folder}/.`);
  } catch (error) {
    // A folder that we may not open is somebody's.
    return !isAbsent(error) && errnoOf(error) !== 'ENOTDIR';
  }
}

/** Of these keepers, the run folders of those that live. Each is asked once. */
export async function livingFolders(
  locker: Locker,
  keepers: Iterable<Keeper>,
): Promise<ReadonlySet<string>> {
  const once = new Map<string, Keeper>();
  for (const keeper of keepers) once.set(keeper.folder, keeper);
  const alive = new Set<string>();
  for (const keeper of once.values()) {
    if (await isAlive(locker, keeper)) alive.add(keeper.folder);
  }
  return alive;
}
