import { access, chmod, constants } from 'node:fs/promises';
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
import { Layers } from './layers.js';
import { Leases } from './leases.js';
import { Locks, type Locker } from './locks.js';
import { Scratch } from './scratch.js';
import { makeLayer, SKELETON } from './skeleton.js';
import type { StoreTrial, Suitability } from './suitability.js';
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
  readonly layers: Layers;
  readonly leases: Leases;
  readonly scratch: Scratch;

  constructor({ root, mode, locker }: StoreOptions) {
    this.root = root;
    this.mode = mode;
    this.locks = new Locks(join(root, 'locks'), locker);
    this.containers = new ContainerRecords(join(root, 'containers'), locker, this.locks);
    this.images = new ImageLayout(join(root, 'images'), this.locks);
    this.layers = new Layers(root);
    this.leases = new Leases(join(root, 'leases'), locker, this.locks);
    this.scratch = new Scratch(root, this.locks);
  }

  /** Absolute path of something that is named relative to the store. */
  path(...names: string[]): string {
    return join(this.root, ...names);
  }
}

/** A store whose folders are there: others may work in them, nothing may look into them. */
export interface AdmittedStore {
  /** The ids that its files may belong to, beside the user's own: see bindIdMap. */
  readonly idMap: IdMap | undefined;
  /** Makes what is missing of it. Rejects as `admitStore` does. */
  complete(): Promise<void>;
}

/**
 * Makes sure that `root` may become or is a store of this mode and user, and makes its folders. `trial` is done once
 * per file system and its answer kept.
 *
 * @throws {@link CaissonError} `ERR_STORE_MODE` when it was made by another user or mode,
 * `ERR_STORE_UNUSABLE` when its file system (or what lies there) does not do, `ERR_STORE_FULL`.
 */
export async function admitStore(
  root: string,
  mode: StoreMode,
  trial: StoreTrial = nativeTrial(mode),
): Promise<AdmittedStore> {
  const request = { root, mode, trial };
  return await explained(root, async () => {
    const identity = await readIdentity(request);
    if (identity === 'new') {
      const suitability = await beginStore(request);
      const complete = (): Promise<void> => completeStore(request, suitability);
      return { idMap: undefined, complete: () => explained(root, complete) };
    }
    // It may have become read-only since it was made.
    await access(root, constants.W_OK);
    return { idMap: identity.idMap, complete: () => Promise.resolve() };
  });
}

/** Makes sure that `root` is a store for this mode and user, making one where there is none. Throws as `admitStore`. */
export async function openStore(...given: Parameters<typeof admitStore>): Promise<void> {
  const store = await admitStore(...given);
  await store.complete();
}

async function beginStore(request: IdentityRequest): Promise<Suitability> {
  const { root } = request;
  await makeFolder(root);
  await refuseForeign(root);
  await chmod(root, 0o700);
  // Before anything is made there: what is refused stays as it was.
  const suitability = await probeStore(request);
  await together(FOLDERS.map((folder) => makeFolder(join(root, folder))));
  return suitability;
}

async function completeStore(request: IdentityRequest, suitability: Suitability): Promise<void> {
  const { root } = request;
  await together([
    makeFolder(join(root, 'containers/.names')),
    makeLayer(join(root, SKELETON_LAYER), SKELETON),
  ]);
  // Last: what has this file is complete.
  if (!(await writeIdentity(request, suitability))) await readIdentity(request);
}

async function explained<T>(root: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw openError(error, root);
  }
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
