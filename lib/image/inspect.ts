import type { RuntimeParts } from '../runtime/parts.js';
import type { Digest, Platform } from '../store/images.js';
import type { ImageConfig } from './config.js';
import { findImage } from './find.js';

/** What is known about an image of the store: plain data. */
export interface ImageInfo {
  readonly id: Digest;
  /** Of its manifest. */
  readonly digest: Digest;
  readonly tags: readonly string[];
  /** What it was pulled or pushed as: `docker.io/library/debian@sha256:…`, where the digest may be that of an index. */
  readonly sources: readonly string[];
  readonly platform: Platform;
  readonly createdAt: Date | null;
  /** Empty where it names none. */
  readonly author: string;
  /** Of its layers as tar archives, without compression. */
  readonly sizeBytes: number;
  readonly config: Readonly<ImageConfig>;
  /** Lowest first. */
  readonly layers: readonly LayerInfo[];
}

export interface LayerInfo {
  /** Of its tar archive, without compression. */
  readonly diffId: Digest;
  /** Of its blob, as registries have it. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the blob. */
  readonly sizeBytes: number;
}

/** @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND` when it was removed */
export async function inspectImage({ store }: RuntimeParts, id: Digest): Promise<ImageInfo> {
  const image = await findImage(store, id);
  const { manifest, tags, forms, platform, created, sizeBytes, config, blobs, document } = image;
  return {
    id,
    digest: manifest.digest,
    tags,
    sources: [...new Set(forms.flatMap(({ sources }) => sources))],
    platform,
    createdAt: created ?? null,
    author: document.author ?? '',
    sizeBytes,
    config,
    layers: blobs.map(({ digest, mediaType, size }, i) => ({
      diffId: document.diffIds[i] ?? digest,
      digest,
      mediaType,
      sizeBytes: size,
    })),
  };
}
