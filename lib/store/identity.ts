import { stat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { createAtomically, errnoOf, readJson, writeJson } from './files.js';
import type { IdMap } from './id-map.js';
import { probeSuitability, type StoreTrial, type Suitability } from './suitability.js';

export type StoreMode = 'root' | 'rootless';

/** `store.json`: whose store this is, and what its file system was found to be. */
export interface Identity {
  readonly version: 1;
  readonly mode: StoreMode;
  readonly uid: number;
  /** Device number of the file system that was probed: a store that moved is probed again. */
  readonly device: number;
  readonly suitability: Suitability;
  /** Of an ordinary user with subordinate ids: whose files may be in it. */
  readonly idMap?: IdMap;
}

export const IDENTITY_FILE = 'store.json';
const FILE = IDENTITY_FILE;
/**
 * What may lie in a folder that is to become a store: what a first try that was cut short left, and the record of
 * somebody who was faster, which is looked at when ours cannot be written.
 */
const OURS = new Set([
  FILE,
  'containers',
  'images',
  'layers',
  'leases',
  'locks',
  'networks',
  'scratch',
  'volumes',
  'lost+found',
]);

export interface IdentityRequest {
  readonly root: string;
  readonly mode: StoreMode;
  readonly trial?: StoreTrial | undefined;
}

/**
 * Whether `root` is a store that this mode and user can open; throws what is wrong with it. The
 * xattrs and owners of a store made as root mean something else to an ordinary user, and the
 * other way round: they are not interchangeable.
 */
export async function readIdentity(request: IdentityRequest): Promise<Identity | 'new'> {
  const { root, mode } = request;
  let device: number;
  let found: unknown;
  try {
    const status = await stat(root);
    if (!status.isDirectory()) throw unusable(root, 'it is not a folder');
    device = status.dev;
    const uid = ownUid();
    // Somebody else's folder: they could exchange layers under our hands, as root above all.
    if (status.uid !== uid) throw otherMode(root, `by the user with uid ${status.uid}`, mode);
    found = await readJson(join(root, FILE));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'new';
    if (errnoOf(error) === 'EACCES') throw otherMode(root, 'by another user', mode, error);
    throw error;
  }
  if (found === undefined) return 'new';
  const identity = checkIdentity(found, root);
  if (identity.mode !== mode || identity.uid !== ownUid()) {
    throw otherMode(root, made(identity.mode, identity.uid), mode);
  }
  if (identity.device === device) return refuseUnsuitable(root, identity);
  const suitability = await probeSuitability(root, request.trial);
  const moved = { ...identity, device, suitability };
  await writeJson(join(root, FILE), moved);
  return refuseUnsuitable(root, moved);
}

/** Refuses a folder that holds other things than a store. */
export async function refuseForeign(root: string): Promise<void> {
  const foreign = (await readdir(root)).find((name) => !OURS.has(name) && !name.startsWith('.'));
  if (foreign !== undefined) {
    throw unusable(root, `it holds ${JSON.stringify(foreign)} and is not a store`);
  }
}

/** What the file system of a new store is; throws when it does not do. */
export async function probeStore({ root, trial }: IdentityRequest): Promise<Suitability> {
  const suitability = await probeSuitability(root, trial);
  refuseUnsuitable(root, { suitability });
  return suitability;
}

/** Makes the store ours. False when another process was faster: read it again. */
export async function writeIdentity(
  { root, mode }: IdentityRequest,
  suitability: Suitability,
): Promise<boolean> {
  const { dev: device } = await stat(root);
  const identity: Identity = { version: 1, mode, uid: ownUid(), device, suitability };
  return await createAtomically(join(root, FILE), `${JSON.stringify(identity)}\n`, 'disk');
}

function checkIdentity(found: unknown, root: string): Identity {
  const identity = found as Partial<Identity> | null;
  if (typeof identity !== 'object' || identity?.version !== 1) {
    throw unusable(root, 'it was made by a newer version of caisson');
  }
  return identity as Identity;
}

function refuseUnsuitable<T extends { readonly suitability: Suitability }>(
  root: string,
  found: T,
): T {
  const { reason, hint } = found.suitability;
  if (reason !== undefined) throw unusable(root, reason, hint);
  return found;
}

const unusable = (root: string, reason: string, hint?: string): CaissonError =>
  new CaissonError('ERR_STORE_UNUSABLE', { root, reason }, hint === undefined ? {} : { hint });

function otherMode(root: string, madeBy: string, mode: StoreMode, cause?: unknown): CaissonError {
  const details = { root, madeBy, openedBy: made(mode, ownUid()) };
  return new CaissonError('ERR_STORE_MODE', details, cause === undefined ? {} : { cause });
}

const made = (mode: StoreMode, uid: number): string =>
  mode === 'root' ? 'as root' : `rootless by the user with uid ${uid}`;

function ownUid(): number {
  const uid = process.geteuid?.();
  if (uid === undefined) throw new Error('this platform has no user ids');
  return uid;
}
