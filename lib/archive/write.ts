import { MEDIA_TYPES, REF_NAME, type Descriptor, type Platform } from '../store/images.js';
import { hexOf } from '../store/digest.js';
import { nameOfBlob } from './digests.js';
import type { Verbatim } from './image.js';
import { compressionOfType } from './media-types.js';
import { writeTar, type TarPart } from './write-tar.js';

export interface SavedLayer {
  readonly descriptor: Descriptor;
  /** Its blob's bytes; called when it is its turn, and once. */
  open(): AsyncIterable<Uint8Array>;
}

export interface SavedImage {
  /** Full ones: `docker.io/library/alpine:latest`. */
  readonly names: readonly string[];
  readonly platform: Platform;
  readonly manifest: Verbatim;
  readonly config: Verbatim;
  /** Lowest first. */
  readonly layers: readonly SavedLayer[];
}

/**
 * `'oci'`: an OCI image layout, and Docker's manifest.json over the same files, as Docker itself writes since version 25:
 * what takes one of the two takes it. `'docker'`: the older form alone.
 */
export type ArchiveFormat = 'oci' | 'docker';

const CONTAINERD_NAME = 'io.containerd.image.name';

/**
 * An archive of one image. Documents come first, so that who reads it as a stream knows what follows. The same image
 * is the same bytes.
 */
export function writeArchive(image: SavedImage, format: ArchiveFormat): AsyncGenerator<Uint8Array> {
  return writeTar(format === 'oci' ? ociParts(image) : dockerParts(image));
}

function* ociParts(image: SavedImage): Generator<TarPart> {
  const { manifest, config, layers } = image;
  yield document('oci-layout', { imageLayoutVersion: '1.0.0' });
  yield document('index.json', ociIndex(image));
  yield document('manifest.json', dockerManifest(image, nameOfBlob));
  yield 'blobs';
  yield 'blobs/sha256';
  yield file(nameOfBlob(manifest), manifest.bytes);
  yield file(nameOfBlob(config), config.bytes);
  yield* layerFiles(layers, nameOfBlob);
}

function ociIndex({ names, platform, manifest }: SavedImage): object {
  const { mediaType, digest, bytes } = manifest;
  const descriptor = { mediaType, digest, size: bytes.length, platform };
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests:
      names.length === 0
        ? [descriptor]
        : names.map((name) => ({
            ...descriptor,
            // Podman goes by the second one, which the specification leaves open.
            annotations: { [CONTAINERD_NAME]: name, [REF_NAME]: name },
          })),
  };
}

function* dockerParts(image: SavedImage): Generator<TarPart> {
  const { config, layers } = image;
  yield document('manifest.json', dockerManifest(image, dockerName));
  yield document('repositories', repositories(image));
  yield file(dockerName(config), config.bytes);
  yield* layerFiles(layers, dockerName);
}

type NameOf = (blob: Pick<Descriptor, 'mediaType' | 'digest'>) => string;

/** What reads these goes by the beginning of the bytes; the ending is for people. */
function dockerName({ mediaType, digest }: Pick<Descriptor, 'mediaType' | 'digest'>): string {
  const compression = compressionOfType(mediaType);
  if (compression === undefined) return `${hexOf(digest)}.json`;
  return `${hexOf(digest)}.tar${{ none: '', gzip: '.gz', zstd: '.zst' }[compression]}`;
}

function dockerManifest({ names, config, layers }: SavedImage, nameOf: NameOf): object {
  return [
    {
      Config: nameOf(config),
      RepoTags: names.length === 0 ? null : names,
      Layers: layers.map(({ descriptor }) => nameOf(descriptor)),
    },
  ];
}

/** For versions before 1.10: repository, tag, the layer that lies highest. */
function repositories({ names, layers }: SavedImage): object {
  const top = layers.at(-1);
  const all: Record<string, Record<string, string>> = {};
  for (const name of top === undefined ? [] : names) {
    const colon = name.lastIndexOf(':');
    const tags = (all[name.slice(0, colon)] ??= {});
    tags[name.slice(colon + 1)] = top === undefined ? '' : hexOf(top.descriptor.digest);
  }
  return all;
}

/** A layer that an image has twice is one file. */
function* layerFiles(layers: readonly SavedLayer[], nameOf: NameOf): Generator<TarPart> {
  const written = new Set<string>();
  for (const layer of layers) {
    const name = nameOf(layer.descriptor);
    if (written.has(name)) continue;
    written.add(name);
    yield { name, size: layer.descriptor.size, data: opened(layer) };
  }
}

/** Nothing is opened before it is read. */
async function* opened(layer: SavedLayer): AsyncGenerator<Uint8Array> {
  yield* layer.open();
}

const file = (name: string, bytes: Buffer): TarPart => ({
  name,
  size: bytes.length,
  data: [bytes],
});

const document = (name: string, value: object): TarPart =>
  file(name, Buffer.from(JSON.stringify(value)));
