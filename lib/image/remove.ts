import { CaissonError } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { temporaryName, together } from '../store/files.js';
import type { Digest } from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { removeFolder } from './folders.js';
import { callsOf, dropHold, leaseName } from './holds.js';
import { listImages, type ImageRecord } from './records.js';

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
    const images = await listImages(store, index);
    const image = images.find((one) => one.id === id);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    const by = await usersOf(parts, image);
    if (by.length > 0 && !force) {
      throw new CaissonError('ERR_IMAGE_IN_USE', { reference: image.tags[0] ?? id, by });
    }
    await store.images.writeIndex(
      index.manifests.filter((one) => one.digest !== image.manifest.digest),
    );
    return await takeUnused(
      parts,
      images.filter((one) => one !== image),
    );
  });
  parts.emit({ type: 'image.remove', id, time: new Date() });
  await together(unused.map((folder) => removeFolder(parts, folder)));
}

/** Names of the containers that use it, and of other users as far as one can say who they are. */
async function usersOf(parts: RuntimeParts, { id }: ImageRecord): Promise<readonly string[]> {
  const store = parts.store;
  const { alive } = await store.containers.list();
  const by = alive.filter(({ config }) => config.image === id).map(({ config }) => config.name);
  const calls = await callsOf(parts, id);
  if (calls > 0) by.push(`${calls} running call${calls === 1 ? '' : 's'}`);
  else await dropHold(parts, id);
  if (by.length === 0 && (await store.leases.inUse()).has(leaseName(id)))
    by.push('another program');
  return by;
}

/**
 * Takes the layers that nobody refers to out of their places, so that none is ever there in part, and
 * returns where they are now. The caller holds IMAGES_LOCK exclusively; `images` are those that stay.
 */
async function takeUnused(parts: RuntimeParts, images: readonly ImageRecord[]): Promise<string[]> {
  const store = parts.store;
  const { alive, dead } = await store.containers.list();
  const used = new Set([
    ...images.flatMap(({ layers }) => layers),
    ...[...alive, ...dead].flatMap(({ config }) => config.layers),
    ...[...(await store.leases.inUse()).values()].flat(),
  ]);
  const taken: string[] = [];
  for (const key of await store.layers.keys()) {
    if (used.has(`layers/${key}`)) continue;
    const away = `layers/${temporaryName()}`;
    if (await store.layers.takeAway(key, away)) taken.push(away);
    // Nothing is there now; the supervisor forgets what it had prepared of it.
    await removeFolder(parts, `layers/${key}`);
  }
  const kept = images.flatMap(({ id, manifest, blobs }) => [
    id,
    manifest.digest,
    ...blobs.map(({ digest }) => digest),
  ]);
  const coming = [...used].filter((name) => name.startsWith('blobs/')).map(digestOf);
  await store.images.removeBlobsExcept(new Set([...kept, ...coming]));
  return taken;
}

/** Removes nameless images that nobody uses, and layers that a removal left. */
export async function pruneImages(parts: RuntimeParts): Promise<Digest[]> {
  const removed: Digest[] = [];
  for (const { id, tags } of await listImages(parts.store)) {
    if (tags.length > 0) continue;
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
  return removed;
}

/** Of what a lease names. */
const digestOf = (name: string): Digest => `sha256:${name.slice('blobs/'.length)}`;
