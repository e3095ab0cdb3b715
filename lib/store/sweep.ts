import { lstat, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerRecords } from './containers.js';
import { ignoreAbsent, isAbsent, namesIn, TEMPORARY } from './files.js';
import type { Store } from './store.js';

export interface SweepHost {
  readonly store: Store;
  /** Removes a store-relative folder with all below it; absent is success. Through the supervisor. */
  readonly remove: (folder: string) => Promise<void>;
}

/** Nobody makes a record or a layer for this long without having renamed or registered it. */
const HALF_MADE_MS = 60 * 60 * 1000;

/**
 * Removes what the dead left in the store: containers whose runtime has ended without undoing (its
 * journal undoes them too, but only for those who use the same run folder, and not after a reboot), its scratch, and
 * halves of layers, blobs and records. Idempotent; several may run at once.
 */
export async function sweep({ store, remove }: SweepHost): Promise<void> {
  const { dead } = await store.containers.list();
  for (const { config } of dead) {
    await remove(ContainerRecords.folderOf(config.id));
    await store.containers.names.release(config.name, config.id);
  }
  await store.containers.names.sweep();
  const halves = [
    ...(await store.containers.halves()).map((id) => ContainerRecords.folderOf(id)),
    ...(await readdir(store.path('layers')))
      .filter((name) => name.startsWith(TEMPORARY))
      .map((name) => `layers/${name}`),
  ];
  for (const folder of halves) {
    if (await isOld(store.path(folder))) await remove(folder);
  }
  for (const folder of await store.scratch.takeDead()) await remove(folder);
  await store.images.blobs.sweep();
  for (const folder of WITH_RECORDS) await sweepRecords(store.path(folder));
}

/** Where records and documents are written beside their place. */
const WITH_RECORDS = ['', 'images', 'images/blobs/sha256', 'leases'];

async function sweepRecords(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (name.startsWith(TEMPORARY) && (await isOld(path))) await unlink(path).catch(ignoreAbsent);
  }
}

async function isOld(path: string): Promise<boolean> {
  try {
    const { ctimeMs } = await lstat(path);
    return Date.now() - ctimeMs > HALF_MADE_MS;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
