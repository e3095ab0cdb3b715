import { randomBytes } from 'node:crypto';
import type { FileLock } from '../native/types.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import type { Digest } from '../store/images.js';
import { chainIds, type WantedLayer } from './layers.js';

/** What makes images of these layers: while nothing lists them, nobody removes what of them is here. */
export async function holdComing(
  parts: RuntimeParts,
  ...images: readonly (readonly WantedLayer[])[]
): Promise<FileLock> {
  const diffIds = images.map((layers) => layers.map(({ diffId }) => diffId));
  const keys = diffIds.flatMap((ids) => [...ids, ...chainIds(ids)].map(hexOf));
  const blobs = images.flat().map(({ descriptor }) => descriptor.digest);
  return await holdLayers(parts, keys, blobs, () => Promise.resolve());
}

/** `name`: of the lease. */
export interface HeldLayers extends FileLock {
  readonly name: string;
}

/** Nobody removes these until it is released. `check` runs before, at a time when nothing is being removed. */
export async function holdLayers(
  parts: RuntimeParts,
  keys: readonly string[],
  blobs: readonly Digest[],
  check: () => Promise<void>,
): Promise<HeldLayers> {
  const names = [
    ...keys.map((key) => `layers/${key}`),
    ...blobs.map((digest) => `blobs/${hexOf(digest)}`),
  ];
  const name = `coming-${randomBytes(8).toString('hex')}`;
  const lock = await parts.store.leases.take(name, [...new Set(names)], check);
  return { name, release: () => lock.release() };
}
