import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';

import type { BlobSource, RegistryClient } from '../../lib/registry/client.js';
import {
  MEDIA_TYPES,
  type Descriptor,
  type Digest,
  type Platform,
} from '../../lib/store/images.js';

export interface ImageParts {
  readonly manifest: Descriptor & { readonly bytes: Buffer };
  readonly config: BlobSource;
  readonly layers: readonly BlobSource[];
}

const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export function blobSource(bytes: Buffer, mediaType: string): BlobSource {
  return {
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    open: (start, end) => Readable.from([bytes.subarray(start, end)], { objectMode: false }),
  };
}

const descriptorOf = ({ mediaType, digest, size }: Descriptor): Descriptor => ({
  mediaType,
  digest,
  size,
});

/** An image whose layers are archives of noise: for what does not unpack them. */
export function imageParts(
  { architecture, os, variant }: Platform = { os: 'linux', architecture: 'amd64' },
  sizes: readonly number[] = [100_000, 10],
): ImageParts {
  const archives = sizes.map((size) => Buffer.concat([randomBytes(size), Buffer.alloc(1024)]));
  const layers = archives.map((bytes) =>
    blobSource(gzipSync(bytes, { level: 1 }), `${MEDIA_TYPES.layerTar}+gzip`),
  );
  const document = {
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    config: { Cmd: ['/bin/true'] },
    rootfs: { type: 'layers', diff_ids: archives.map(digestOf) },
  };
  const config = blobSource(Buffer.from(JSON.stringify(document)), MEDIA_TYPES.config);
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  };
  return { manifest: documentOf(MEDIA_TYPES.manifest, manifest), config, layers };
}

export function documentOf(
  mediaType: string,
  value: unknown,
): Descriptor & { readonly bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(value));
  return { mediaType, digest: digestOf(bytes), size: bytes.length, bytes };
}

/** Blobs, then the manifest. */
export async function pushParts(
  client: RegistryClient,
  repository: string,
  reference: string,
  { manifest, config, layers }: ImageParts,
): Promise<void> {
  await Promise.all(
    [config, ...layers].map(async (blob) => await client.pushBlob(repository, blob)),
  );
  await client.pushManifest(repository, reference, manifest);
}
