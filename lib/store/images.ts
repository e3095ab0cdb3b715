import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { Blobs } from './blobs.js';
import { createAtomically, isAbsent, makeFolder, readJson, writeJson } from './files.js';
import type { Locks } from './locks.js';

export type Digest = `sha256:${string}`;

/** OCI content descriptor. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

/** What an image is made for, in the words of image-spec, which are Go's: `linux`, `amd64`, `arm64`; `v8`. */
export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

export interface ImageIndex {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layerTar: 'application/vnd.oci.image.layer.v1.tar',
} as const;

export const DOCKER_MEDIA_TYPES = {
  index: 'application/vnd.docker.distribution.manifest.list.v2+json',
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

/** On a descriptor: its blob is not in the layout; the layer's folder can produce it again. */
export const BLOB_ABSENT = 'dev.caisson.blob.absent';
export const REF_NAME = 'org.opencontainers.image.ref.name';
export const CREATED = 'org.opencontainers.image.created';

const EMPTY_INDEX: ImageIndex = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] };

/**
 * `images/`: an OCI image layout, which other tools read in place. Blobs are named by their content and
 * need no lock; who changes the index holds IMAGES_LOCK from reading to writing it.
 */
export class ImageLayout {
  readonly #folder: string;
  readonly blobs: Blobs;
  /** Blobs never change, so they are parsed once. */
  readonly #parsed = new Map<Digest, unknown>();
  #made = false;

  constructor(folder: string, locks: Locks) {
    this.#folder = folder;
    this.blobs = new Blobs(folder, locks);
  }

  async readIndex(): Promise<ImageIndex> {
    const path = join(this.#folder, 'index.json');
    const index = (await readJson(path)) as Partial<ImageIndex> | null | undefined;
    if (index === undefined) return EMPTY_INDEX;
    if (index?.schemaVersion !== 2 || !Array.isArray(index.manifests)) {
      throw new CaissonError('ERR_STORE_CORRUPT', { path, reason: 'it is not an OCI image index' });
    }
    return index as ImageIndex;
  }

  async writeIndex(manifests: readonly Descriptor[]): Promise<void> {
    await this.#make();
    await writeJson(join(this.#folder, 'index.json'), { ...EMPTY_INDEX, manifests }, 'disk');
  }

  /** Stores a small text under its digest. */
  async putDocument(digest: Digest, bytes: Uint8Array): Promise<void> {
    await this.#make();
    await createAtomically(this.blobs.path(digest), bytes, 'disk');
  }

  /** What `parse` makes of a small text. @throws {@link CaissonError} `ERR_STORE_CORRUPT` when it is not there */
  async read<T>(digest: Digest, parse: (bytes: Uint8Array) => T): Promise<T> {
    const known = this.#parsed.get(digest);
    if (known !== undefined) return known as T;
    const value = parse(await this.readDocument(digest));
    this.#parsed.set(digest, value);
    return value;
  }

  /** @throws {@link CaissonError} `ERR_STORE_CORRUPT` when it is not there */
  async readDocument(digest: Digest): Promise<Buffer> {
    const path = this.blobs.path(digest);
    try {
      return await readFile(path);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      throw new CaissonError('ERR_STORE_CORRUPT', { path, reason: 'the blob is missing' });
    }
  }

  /** Removes every blob but those of `kept`. The caller holds IMAGES_LOCK exclusively. */
  async removeBlobsExcept(kept: ReadonlySet<Digest>): Promise<void> {
    for (const digest of (await this.blobs.list()).keys()) {
      if (kept.has(digest)) continue;
      await unlink(this.blobs.path(digest));
      this.#parsed.delete(digest);
    }
  }

  /** On the first write: most stores of tests hold no image. */
  async #make(): Promise<void> {
    if (this.#made) return;
    await makeFolder(join(this.#folder, 'blobs/sha256'));
    await createAtomically(join(this.#folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}\n');
    this.#made = true;
  }
}
