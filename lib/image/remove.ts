import { CaissonError } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { together } from '../store/files.js';
import type { Digest } from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { removeFolder, takeLayerAway } from './folders.js';
import { callersOf, leaseName } from './holds.js';
import {
  hasLabel,
  listImages,
  readImages,
  type ImageRecord,
  type ListedImages,
} from './records.js';

/**
 * Removes an image with all its names, then the layers that nobody uses. In this order: what is listed
 * is whole, whenever this ends.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`, `ERR_IMAGE_IN_USE`
 */
export async function removeImage(
  parts: RuntimeParts,
  id: Digest,
  { force }: { readonly force: boolean },
): Promise<void> {
  const store = parts.store;
  const unused = await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    const index = await store.images.readIndex();
    const listed = await readImages(store, index);
    const image = listed.images.find((one) => one.id === id);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    const by = await usersOf(parts, image);
    if (by.length > 0 && !force) {
      throw new CaissonError('ERR_IMAGE_IN_USE', { reference: image.tags[0] ?? id, by });
    }
    const forms = new Set(image.forms.map(({ manifest }) => manifest.digest));
    await store.images.writeIndex(index.manifests.filter(({ digest }) => !forms.has(digest)));
    return await takeUnused(parts, {
      ...listed,
      images: listed.images.filter((one) => one !== image),
    });
  });
  parts.emit({ type: 'image.remove', id, time: new Date() });
  await together(unused.map((folder) => removeFolder(parts, folder)));
}

/** Names of the containers that use it, and of other users as far as one can say who they are. */
async function usersOf(parts: RuntimeParts, { id }: ImageRecord): Promise<readonly string[]> {
  const store = parts.store;
  const { alive } = await store.containers.list();
  const by = alive.filter(({ config }) => config.image === id).map(({ config }) => config.name);
  by.push(...(await callersOf(parts, id)));
  if (by.length === 0 && (await store.leases.inUse()).has(leaseName(id)))
    by.push('another program');
  return by;
}

/**
 * Takes the layers that nobody refers to out of their places, so that none is ever there in part, and
 * returns where they are now. The caller holds IMAGES_LOCK exclusively; those that are given stay.
 */
async function takeUnused(
  parts: RuntimeParts,
  { images, damaged }: ListedImages,
): Promise<string[]> {
  const store = parts.store;
  // What one needs that cannot be read nobody knows.
  if (damaged.length > 0) return [];
  const { alive, dead } = await store.containers.list();
  const used = new Set([
    ...images.flatMap(({ keys }) => keys.map((key) => `layers/${key}`)),
    ...[...alive, ...dead].flatMap(({ config }) => config.layers),
    ...[...(await store.leases.inUse()).values()].flat(),
  ]);
  const taken: string[] = [];
  for (const key of await store.layers.keys()) {
    if (used.has(`layers/${key}`)) continue;
    taken.push(await takeLayerAway(parts, key, 'remove an image'));
  }
  const kept = images.flatMap(({ id, forms }) => [
    id,
    ...forms.flatMap(({ manifest, blobs }) => [manifest, ...blobs].map(({ digest }) => digest)),
  ]);
  const coming = [...used].filter((name) => name.startsWith('blobs/')).map(digestOf);
  const made = await Promise.all(
    (await store.layers.keys()).map(async (key) => (await store.layers.facts(key)).blob),
  );
  const pushed = made.flatMap((blob) => blob?.digest ?? []);
  await store.images.removeBlobsExcept(new Set([...kept, ...coming, ...pushed]));
  return taken;
}

/** Which images `prune` removes, of those that nobody uses. */
export interface PruneRequest {
  /** Only those without a name. */
  readonly dangling: boolean;
  /** Only those made before. */
  readonly until: Date | undefined;
  /** `key` or `key=value`; all must match. */
  readonly labels: readonly string[];
}

/** Removes images that nobody uses, and what is left of downloads that were cut off; returns the ids. */
export async function pruneImages(parts: RuntimeParts, request: PruneRequest): Promise<Digest[]> {
  const { dangling, until, labels } = request;
  const removed: Digest[] = [];
  for (const { id, tags, created, config } of await listImages(parts.store)) {
    if (dangling && tags.length > 0) continue;
    if (until !== undefined && (created === undefined || created >= until)) continue;
    if (!labels.every((label) => hasLabel(config, label))) continue;
    try {
      await removeImage(parts, id, { force: false });
      removed.push(id);
    } catch (error) {
      if (
        !CaissonError.is(error, 'ERR_IMAGE_IN_USE') &&
        !CaissonError.is(error, 'ERR_IMAGE_NOT_FOUND')
      ) {
        throw error;
      }
    }
  }
  await parts.store.images.blobs.removePartials(until ?? new Date());
  return removed;
}

/** Of what a lease names. */
const digestOf = (name: string): Digest => `sha256:${name.slice('blobs/'.length)}`;
