import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { Blobs } from './blobs.js';
import { digestOf } from './digest.js';
import {
  createAtomically,
  isAbsent,
  makeFolder,
  readJson,
  writeAtomically,
  writeJson,
} from './files.js';
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

const MARK = 'oci-layout';
const MARK_TEXT = '{"imageLayoutVersion":"1.0.0"}\n';
const DAMAGED_HINT =
  'runtime.images.verify() says what is damaged and how to mend it; pulling or loading the image again brings this back.';

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

  /** Stores a small text under its digest, also in place of one that is damaged. */
  async putDocument(digest: Digest, bytes: Uint8Array): Promise<void> {
    await this.#make();
    const path = this.blobs.path(digest);
    if (await createAtomically(path, bytes, 'disk')) return;
    if (digestOf(await readFile(path)) !== digest) await writeAtomically(path, bytes, 'disk');
  }

  /** What `parse` makes of a small text. @throws {@link CaissonError} as `readDocument` */
  async read<T>(digest: Digest, parse: (bytes: Uint8Array) => T): Promise<T> {
    const known = this.#parsed.get(digest);
    if (known !== undefined) return known as T;
    const value = parse(await this.readDocument(digest));
    this.#parsed.set(digest, value);
    return value;
  }

  /** @throws {@link CaissonError} `ERR_STORE_CORRUPT` when it is not there, or is something else */
  async readDocument(digest: Digest): Promise<Buffer> {
    const path = this.blobs.path(digest);
    const corrupt = (reason: string): CaissonError =>
      new CaissonError('ERR_STORE_CORRUPT', { path, reason }, { hint: DAMAGED_HINT });
    try {
      const bytes = await readFile(path);
      const found = digestOf(bytes);
      if (found !== digest) throw corrupt(`its digest is ${found}`);
      return bytes;
    } catch (error) {
      if (!isAbsent(error)) throw error;
      throw corrupt('the blob is missing');
    }
  }

  /** Documents are read again from now on. */
  forget(): void {
    this.#parsed.clear();
  }

  /** What is wrong with the file by which other tools know the layout; undefined where nothing is, or no layout yet. */
  async damageOfMark(): Promise<{ readonly path: string; readonly reason: string } | undefined> {
    const path = join(this.#folder, MARK);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if (!isAbsent(error)) throw error;
      const { manifests } = await this.readIndex();
      return manifests.length === 0 ? undefined : { path, reason: 'it is missing' };
    }
    return text === MARK_TEXT ? undefined : { path, reason: `it should say ${MARK_TEXT.trim()}` };
  }

  async mendMark(): Promise<void> {
    await writeAtomically(join(this.#folder, MARK), MARK_TEXT, 'disk');
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
    await createAtomically(join(this.#folder, MARK), MARK_TEXT);
    this.#made = true;
  }
}
