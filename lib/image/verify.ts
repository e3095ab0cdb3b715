import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { BLOB_ABSENT, type Descriptor, type Digest } from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { holdLayers, type HeldLayers } from './coming.js';
import type { Tell } from './operation.js';
import { findAmong } from './find.js';
import { readImages, type DamagedImage, type ImageRecord } from './records.js';
import type { CallRequest } from './request.js';
import { BlobCheck, Users } from './verify-blob.js';
import { LayerCheck } from './verify-layer.js';

export interface VerifyRequest extends CallRequest {
  /** Names and ids; undefined: all that the store has. */
  readonly images: readonly string[] | undefined;
  readonly layers: boolean;
  readonly repair: boolean;
}

/**
 * `'index'`: what lists the images; `'manifest'` and `'config'`: a document of an image; `'blob'`: a layer as it came;
 * `'layer'`: what was unpacked of it; `'record'`: what is noted of that.
 */
export type StoreProblemKind = 'index' | 'manifest' | 'config' | 'blob' | 'layer' | 'record';

/** One damaged thing of a store. */
export interface StoreProblem {
  readonly kind: StoreProblemKind;
  /** Absolute. */
  readonly path: string;
  /** What it should be by its name: of a layer its diffID; absent of an index. */
  readonly digest?: Digest;
  /** Which images need it: a name of each, or its id. */
  readonly images: readonly string[];
  /** What is wrong with it. */
  readonly detail: string;
  /** What helps, or what is still to be done once it is repaired; empty when nothing is. */
  readonly fix: string;
  /** Whether `repair` has mended it, or has taken it away so that a pull brings it again. */
  readonly repaired: boolean;
}

/** What `verify` has found. */
export interface VerifyReport {
  /** Nothing is damaged, or nothing is any more. */
  readonly ok: boolean;
  readonly problems: readonly StoreProblem[];
  /** How many of each were looked at. */
  readonly images: number;
  readonly blobs: number;
  readonly layers: number;
  /** Of blobs that were read. */
  readonly bytes: number;
}

/** How far the verification of a blob or a layer is. */
export interface VerifyEvent {
  readonly kind: 'blob' | 'layer';
  /** Of the blob; of a layer its diffID. */
  readonly digest: Digest;
  readonly status: 'verifying' | 'done' | 'damaged';
  /** Of a blob; 0 of a layer. */
  readonly currentBytes: number;
  readonly totalBytes: number;
}

/**
 * Looks at everything that images are made of. Holds no lock but for moments: what it looks at cannot be removed
 * meanwhile, and everything else goes on.
 */
export async function verifyStore(
  parts: RuntimeParts,
  request: VerifyRequest,
  tell: Tell<VerifyEvent>,
): Promise<VerifyReport> {
  throwIfAborted(request.signal);
  return await parts.supervisor.keepAlive(new Verify(parts, request, tell).run());
}

class Verify {
  readonly #parts: RuntimeParts;
  readonly #request: VerifyRequest;
  readonly #problems: StoreProblem[] = [];
  readonly #users = new Users();
  readonly #blobs: BlobCheck;
  readonly #layers: LayerCheck;

  constructor(parts: RuntimeParts, request: VerifyRequest, tell: Tell<VerifyEvent>) {
    this.#parts = parts;
    this.#request = request;
    const found = (problem: StoreProblem): void => void this.#problems.push(problem);
    const { repair, signal } = request;
    const job = { parts, tell, found, users: this.#users, repair, signal };
    this.#blobs = new BlobCheck(job);
    this.#layers = new LayerCheck(job, this.#blobs);
  }

  async run(): Promise<VerifyReport> {
    const looked = (await this.#index()) ? await this.#images() : 0;
    return {
      ok: this.#problems.every(({ repaired }) => repaired),
      problems: this.#problems,
      images: looked,
      blobs: this.#blobs.count,
      layers: this.#layers.count,
      bytes: this.#blobs.bytes,
    };
  }

  /** Whether it can be read. */
  async #index(): Promise<boolean> {
    const { images } = this.#parts.store;
    const { repair } = this.#request;
    const problem = { kind: 'index', images: [] } as const;
    try {
      await images.readIndex();
    } catch (error) {
      if (!CaissonError.is(error, 'ERR_STORE_CORRUPT')) throw error;
      const { path, reason: detail } = error.details;
      const fix =
        'Put it back from a copy, or begin with a new store: nothing else says which images there are.';
      this.#problems.push({ ...problem, path, detail, fix, repaired: false });
      return false;
    }
    const mark = await images.damageOfMark();
    if (mark === undefined) return true;
    if (repair) await images.mendMark();
    const fix = repair ? '' : 'verify({ repair: true }) writes it again.';
    this.#problems.push({
      ...problem,
      path: mark.path,
      detail: mark.reason,
      fix,
      repaired: repair,
    });
    return true;
  }

  async #images(): Promise<number> {
    const { store } = this.#parts;
    const { images } = this.#request;
    // What was read before may have been damaged since.
    store.images.forget();
    const listed = await readImages(store);
    this.#users.add(listed.images);
    const chosen =
      images === undefined
        ? [...listed.images, ...listed.damaged]
        : [...new Set(images.map((one) => findAmong(listed, one)))];
    for (const one of chosen) {
      throwIfAborted(this.#request.signal);
      if ('error' in one) await this.#document(one);
      else await this.#image(one);
    }
    if (images === undefined) await this.#others(listed.images);
    return chosen.length;
  }

  async #image(image: ImageRecord): Promise<void> {
    let lease: HeldLayers | undefined;
    try {
      lease = await this.#hold(image);
      for (const blob of image.forms.flatMap(({ blobs }) => blobs)) {
        const absent = blob.annotations?.[BLOB_ABSENT] !== undefined;
        await this.#blobs.check(blob, absent ? 'may-be-absent' : 'must-be-there');
      }
      if (!this.#request.layers) return;
      for (const i of image.keys.keys()) await this.#layers.check(image, i, lease.name);
    } catch (error) {
      // Removed since it was listed.
      if (!CaissonError.is(error, 'ERR_IMAGE_NOT_FOUND')) throw error;
    } finally {
      lease?.release();
    }
  }

  /** Its layers and blobs stay, even if it is removed. */
  async #hold({ id, forms, keys }: ImageRecord): Promise<HeldLayers> {
    const { store } = this.#parts;
    const blobs = forms.flatMap((form) => form.blobs.map(({ digest }) => digest));
    return await holdLayers(this.#parts, keys, blobs, async () => {
      const { manifests } = await store.images.readIndex();
      const listed = new Set(manifests.map(({ digest }) => digest));
      if (forms.every(({ manifest }) => listed.has(manifest.digest))) return;
      throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    });
  }

  /** One that cannot be read is nothing any more; with `repair` nobody lists it. */
  async #document({ manifest, tags, error }: DamagedImage): Promise<void> {
    const { store } = this.#parts;
    const path = 'path' in error.details ? error.details.path : undefined;
    const own = store.images.blobs.path(manifest.digest);
    const at = path ?? own;
    const repaired = this.#request.repair && (await this.#unlist(manifest));
    this.#problems.push({
      kind: at === own ? 'manifest' : 'config',
      path: at,
      digest: `sha256:${at.slice(at.lastIndexOf('/') + 1)}`,
      images: [tags[0] ?? manifest.digest],
      detail: 'reason' in error.details ? (error.details.reason ?? '') : error.message,
      fix: repaired
        ? 'The image is not listed any more: pull, load or import it again.'
        : 'Pull or load the image again, or let verify({ repair: true }) take it off the list.',
      repaired,
    });
  }

  /** False: it can be read by now. */
  async #unlist(manifest: Descriptor): Promise<boolean> {
    const { images, locks } = this.#parts.store;
    return await locks.hold(IMAGES_LOCK, 'exclusive', async () => {
      const index = await images.readIndex();
      const { damaged } = await readImages(this.#parts.store, index);
      if (!damaged.some((one) => one.manifest.digest === manifest.digest)) return false;
      await images.writeIndex(index.manifests.filter(({ digest }) => digest !== manifest.digest));
      return true;
    });
  }

  /** Blobs that no image names: one that comes to be pulled would take them as they are. */
  async #others(images: readonly ImageRecord[]): Promise<void> {
    const documents = new Set(
      images.flatMap(({ id, forms }) => [id, ...forms.map(({ manifest }) => manifest.digest)]),
    );
    for (const [digest, size] of await this.#parts.store.images.blobs.list()) {
      if (documents.has(digest) || this.#blobs.has(digest)) continue;
      await this.#blobs.check({ mediaType: '', digest, size }, 'may-be-absent');
    }
  }
}
