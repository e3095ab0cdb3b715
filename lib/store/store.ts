import { access, chmod, constants, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { ContainerRecords } from './containers.js';
import { errnoOf, makeFolder, storeError, together } from './files.js';
import {
  probeStore,
  readIdentity,
  refuseForeign,
  writeIdentity,
  type IdentityRequest,
  type StoreMode,
} from './identity.js';
import type { IdMap } from './id-map.js';
import { ImageLayout } from './images.js';
import { Leases } from './leases.js';
import { Locks, type Locker } from './locks.js';
import { makeLayer, SKELETON } from './skeleton.js';
import type { StoreTrial } from './suitability.js';
import { nativeTrial } from './trial.js';

export interface StoreOptions {
  /** Absolute path of a store that `openStore` has accepted. */
  readonly root: string;
  readonly mode: StoreMode;
  readonly locker: Locker;
}

const FOLDERS = ['containers', 'images', 'layers', 'leases', 'locks', 'scratch'];

/** Layer that lies lowest under every image, as a launch names it. */
export const SKELETON_LAYER = 'layers/skeleton';

/**
 * What caisson keeps on disk. Several programs may share one: every record is replaced atomically,
 * every read-change-write holds a lock that dies with its holder, and what is named by its content
 * needs no lock.
 */
export class Store {
  readonly root: string;
  readonly mode: StoreMode;
  readonly locks: Locks;
  readonly containers: ContainerRecords;
  readonly images: ImageLayout;
  readonly leases: Leases;

  constructor({ root, mode, locker }: StoreOptions) {
    this.root = root;
    this.mode = mode;
    this.locks = new Locks(join(root, 'locks'), locker);
    this.containers = new ContainerRecords(join(root, 'containers'), locker, this.locks);
    this.images = new ImageLayout(join(root, 'images'));
    this.leases = new Leases(join(root, 'leases'), locker, this.locks);
  }

  /** Absolute path of something that is named relative to the store. */
  path(...names: string[]): string {
    return join(this.root, ...names);
  }

  /** Keys of the layers that are complete. */
  async layerKeys(): Promise<string[]> {
    return (await readdir(this.path('layers'))).filter((name) => !name.startsWith('.'));
  }
}

/**
 * Makes sure that `root` is a store for this mode and user, making one where there is none. `trial` is
 * done once per file system and its answer kept. Resolves with the ids that its files may belong to, beside the user's
 * own: see bindIdMap.
 *
 * @throws {@link CaissonError} `ERR_STORE_MODE` when it was made by another user or mode,
 * `ERR_STORE_UNUSABLE` when its file system (or what lies there) does not do, `ERR_STORE_FULL`.
 */
export async function openStore(
  root: string,
  mode: StoreMode,
  trial: StoreTrial = nativeTrial(mode),
): Promise<IdMap | undefined> {
  const request = { root, mode, trial };
  try {
    const identity = await readIdentity(request);
    if (identity === 'new') {
      await makeStore(request);
      return undefined;
    }
    // It may have become read-only since it was made.
    await access(root, constants.W_OK);
    return identity.idMap;
  } catch (error) {
    throw openError(error, root);
  }
}

async function makeStore(request: IdentityRequest): Promise<void> {
  const { root } = request;
  await makeFolder(root);
  await refuseForeign(root);
  await chmod(root, 0o700);
  // Before anything is made there: what is refused stays as it was.
  const suitability = await probeStore(request);
  await together(FOLDERS.map((folder) => makeFolder(join(root, folder))));
  await together([
    makeFolder(join(root, 'containers/.names')),
    makeLayer(join(root, SKELETON_LAYER), SKELETON),
  ]);
  // Last: what has this file is complete.
  if (!(await writeIdentity(request, suitability))) await readIdentity(request);
}

function openError(error: unknown, root: string): unknown {
  if (CaissonError.is(error)) return error;
  const errno = errnoOf(error);
  const reasons: Readonly<Record<string, string>> = {
    EROFS: 'its file system is read-only',
    EACCES: 'this user may not write there',
    EPERM: 'this user may not write there',
    ENOTDIR: 'part of its path is not a folder',
    ENAMETOOLONG: 'its path is too long',
  };
  const reason = errno === undefined ? undefined : reasons[errno];
  if (reason === undefined) return storeError(error, root);
  const hint = 'Give Runtime.open() a `root` where this user can make files.';
  return new CaissonError('ERR_STORE_UNUSABLE', { root, reason }, { cause: error, hint });
}
