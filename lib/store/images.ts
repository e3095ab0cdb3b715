import { createHash } from 'node:crypto';
import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { createAtomically, isAbsent, makeFolder, readJson, writeJson } from './files.js';

export type Digest = `sha256:${string}`;

/** OCI content descriptor. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly architecture: string; readonly os: string };
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
  /** Blobs never change, so they are parsed once. */
  readonly #parsed = new Map<Digest, unknown>();
  #made = false;

  constructor(folder: string) {
    this.#folder = folder;
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

  /** Stores a JSON document under its digest. */
  async putJson(mediaType: string, value: unknown): Promise<Descriptor> {
    const text = JSON.stringify(value);
    const digest: Digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    await this.#make();
    await createAtomically(this.#blob(digest), text, 'disk');
    return { mediaType, digest, size: Buffer.byteLength(text) };
  }

  /** @throws {@link CaissonError} `ERR_STORE_CORRUPT` when it is not there */
  async readBlob(digest: Digest): Promise<unknown> {
    const known = this.#parsed.get(digest);
    if (known !== undefined) return known;
    const path = this.#blob(digest);
    const value = await readJson(path);
    if (value === undefined || value === null) {
      throw new CaissonError('ERR_STORE_CORRUPT', { path, reason: 'the blob is missing' });
    }
    this.#parsed.set(digest, value);
    return value;
  }

  /** Removes every blob but those of `kept`. The caller holds IMAGES_LOCK exclusively. */
  async removeBlobsExcept(kept: ReadonlySet<Digest>): Promise<void> {
    const folder = join(this.#folder, 'blobs/sha256');
    for (const name of await readdir(folder).catch(absentIsEmpty)) {
      const digest: Digest = `sha256:${name}`;
      if (kept.has(digest)) continue;
      await unlink(join(folder, name));
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

  #blob(digest: Digest): string {
    // Checked before it becomes a path.
    const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
    if (hex === undefined) {
      throw new CaissonError('ERR_STORE_CORRUPT', {
        path: this.#folder,
        reason: `${JSON.stringify(digest)} is not a digest`,
      });
    }
    return join(this.#folder, 'blobs/sha256', hex);
  }
}

function absentIsEmpty(error: unknown): string[] {
  if (isAbsent(error)) return [];
  throw error;
}
