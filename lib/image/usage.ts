import type { RuntimeParts } from '../runtime/parts.js';
import type { Digest } from '../store/images.js';
import { listImages, type ImageRecord } from './records.js';

/** What one image takes. */
export interface ImageUsage {
  readonly id: Digest;
  readonly tags: readonly string[];
  /** Its layers, without compression. */
  readonly sizeBytes: number;
  /** Of them those that another image has too. */
  readonly sharedBytes: number;
  /** How many containers are made from it. */
  readonly containers: number;
}

/** What images take in a store. */
export interface ImagesUsage {
  readonly images: readonly ImageUsage[];
  /** All layers, each once, without compression. */
  readonly layerBytes: number;
  /** All blobs: layers as they came, compressed, and the documents of images. */
  readonly blobBytes: number;
  /** Of downloads that were cut off. */
  readonly partialBytes: number;
  /** What `prune` of all unused images would free: their layers, and partial blobs. */
  readonly reclaimableBytes: number;
}

/** Adds up what the store says; nothing is measured but blobs. */
export async function imagesUsage({ store }: RuntimeParts): Promise<ImagesUsage> {
  const [images, { alive, dead }, blobs, partials, keys] = await Promise.all([
    listImages(store),
    store.containers.list(),
    store.images.blobs.list(),
    store.images.blobs.partials(),
    store.layers.keys(),
  ]);
  const sizes = new Map<string, number>();
  for (const key of keys) sizes.set(`layers/${key}`, (await store.layers.facts(key)).tarBytes);
  const containers = [...alive, ...dead].map(({ config }) => config);
  const users = (folder: string): number =>
    images.filter((image) => ownLayers(image).includes(folder)).length;
  const sum = (folders: Iterable<string>): number =>
    [...folders].reduce((total, folder) => total + (sizes.get(folder) ?? 0), 0);
  const used = new Set(containers.flatMap(({ layers }) => layers));
  const partialBytes = partials.reduce((total, { size }) => total + size, 0);
  return {
    images: images.map((image) => ({
      id: image.id,
      tags: image.tags,
      sizeBytes: image.sizeBytes,
      sharedBytes: sum(ownLayers(image).filter((folder) => users(folder) > 1)),
      containers: containers.filter((one) => one.image === image.id).length,
    })),
    layerBytes: sum(sizes.keys()),
    blobBytes: [...blobs.values()].reduce((total, size) => total + size, 0),
    partialBytes,
    reclaimableBytes: sum([...sizes.keys()].filter((folder) => !used.has(folder))) + partialBytes,
  };
}

/** Each once. */
const ownLayers = ({ keys }: ImageRecord): string[] => [
  ...new Set(keys.map((key) => `layers/${key}`)),
];
