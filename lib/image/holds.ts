import { CaissonError } from '../errors/index.js';
import type { FileLock } from '../native/types.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { Digest } from '../store/images.js';
import { findById } from './records.js';
import type { ResolvedImage } from './resolved-image.js';

/** What a Runtime has resolved: the image's layers cannot go away while it holds this. */
interface Hold {
  readonly image: ResolvedImage;
  readonly lease: FileLock;
  /** Calls that run from it and write no record. */
  calls: number;
}

const HOLDS = Symbol('caisson.image.holds');

const holds = (parts: RuntimeParts): Map<string, Promise<Hold>> =>
  parts.slot(HOLDS, () => new Map<string, Promise<Hold>>());

/** The image by id, held until it is dropped or the Runtime ends. */
export async function hold(parts: RuntimeParts, id: Digest): Promise<ResolvedImage> {
  const all = holds(parts);
  let held = all.get(id);
  if (held === undefined) {
    held = take(parts, id);
    all.set(id, held);
    held.catch(() => all.delete(id));
  }
  return (await held).image;
}

async function take(parts: RuntimeParts, id: Digest): Promise<Hold> {
  const store = parts.store;
  const record = await findById(store, id);
  if (record === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
  const { config, layers } = record;
  const lease = await store.leases.take(leaseName(id), layers, async () => {
    // Between the two looks it may have been removed.
    const { manifests } = await store.images.readIndex();
    const listed = new Set(manifests.map(({ digest }) => digest));
    if (record.forms.some(({ manifest }) => listed.has(manifest.digest))) return;
    throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
  });
  parts.onClose(() => {
    lease.release();
    return Promise.resolve();
  });
  return { image: { id, layers, config, mounts: [] }, lease, calls: 0 };
}

/**
 * Counts a call that runs from the image without a record: `Image.remove()` refuses meanwhile. Call what
 * comes back at its end. An image that is not held (Image.host()) needs none.
 */
export function useImage(parts: RuntimeParts, { id }: ResolvedImage): () => void {
  const held = holds(parts).get(id);
  if (held === undefined) return () => undefined;
  void held.then((one) => (one.calls += 1));
  let ended = false;
  return () => {
    if (!ended) void held.then((one) => (one.calls -= 1));
    ended = true;
  };
}

/** The calls of this Runtime that run from it, in words; where there is none it is not held any more either. */
export async function callersOf(parts: RuntimeParts, id: Digest): Promise<readonly string[]> {
  const calls = await callsOf(parts, id);
  if (calls > 0) return [`${calls} running call${calls === 1 ? '' : 's'}`];
  await dropHold(parts, id);
  return [];
}

async function callsOf(parts: RuntimeParts, id: Digest): Promise<number> {
  return (
    (
      await holds(parts)
        .get(id)
        ?.catch(() => undefined)
    )?.calls ?? 0
  );
}

async function dropHold(parts: RuntimeParts, id: Digest): Promise<void> {
  const all = holds(parts);
  const held = all.get(id);
  all.delete(id);
  (await held?.catch(() => undefined))?.lease.release();
}

/** A lease's file name. */
export const leaseName = (id: Digest): string => id.slice('sha256:'.length);
