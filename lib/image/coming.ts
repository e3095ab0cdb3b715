import { randomBytes } from 'node:crypto';
import type { FileLock } from '../native/types.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import { chainIds, type WantedLayer } from './layers.js';

/** What makes images of these layers: while nothing lists them, nobody removes what of them is here. */
export async function holdComing(
  parts: RuntimeParts,
  ...images: readonly (readonly WantedLayer[])[]
): Promise<FileLock> {
  const names = images.flatMap((layers) => {
    const diffIds = layers.map(({ diffId }) => diffId);
    return [
      ...[...diffIds, ...chainIds(diffIds)].map((id) => `layers/${hexOf(id)}`),
      ...layers.map(({ descriptor }) => `blobs/${hexOf(descriptor.digest)}`),
    ];
  });
  const lease = `coming-${randomBytes(8).toString('hex')}`;
  return await parts.store.leases.take(lease, [...new Set(names)], () => Promise.resolve());
}
