import { basename } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { hexOf } from '../store/digest.js';
import { temporaryName } from '../store/files.js';
import { BLOB_ABSENT, type Descriptor, type Digest } from '../store/images.js';
import type { LayerFacts } from '../store/layers.js';
import { digestLayer } from './digest-layer.js';
import { registerFolder, removeFolder } from './folders.js';
import type { ImageRecord } from './records.js';
import { replaceLayer } from './replace-layer.js';
import { settle, unpack } from './unpack.js';
import type { BlobCheck, VerifyJob } from './verify-blob.js';

/** What a layer should be: unpacked once more. */
interface Copy {
  /** Store-relative. */
  readonly folder: string;
  readonly digest: Digest;
  readonly facts: LayerFacts;
}

/** One layer of one image. */
interface Subject {
  readonly key: string;
  readonly diffId: Digest;
  /** Store-relative, lowest first. */
  readonly below: readonly string[];
  /** Its blobs that are whole, compressed in one way or another. */
  readonly blobs: readonly Descriptor[];
  /** It came from a folder, or of a container: its diffID is the digest of its canonical archive. */
  readonly isImported: boolean;
  readonly lease: string;
}

function unmendable({ isImported }: Subject, [image = '']: readonly string[]): string {
  return isImported
    ? `There is nothing to make it of: remove ${image}, and import, commit or build it again.`
    : `Mend its blob and the layers below it first: pull ${image} with { policy: 'always' }, or load it again.`;
}

/** `usedBy`: of a repair, where that was asked for. */
function fixOf(usedBy: readonly string[] | undefined): string {
  if (usedBy === undefined) return 'verify({ repair: true }) makes it again of its blob.';
  if (usedBy.length === 0) return '';
  return `It is in use (${usedBy.join(', ')}): end that; then verify({ repair: true }) makes it again of its blob.`;
}

/**
 * Unpacked layers, each once, against what their blobs hold: the blob is unpacked again beside it, and both are
 * digested. Nothing is written down of a layer while it is unpacked, when that would cost everybody: a verification is
 * rare. What came from a folder has its digest as its name.
 */
export class LayerCheck {
  readonly #job: VerifyJob;
  readonly #blobs: BlobCheck;
  /** Whether it is as it should be. */
  readonly #checked = new Map<string, boolean>();

  constructor(job: VerifyJob, blobs: BlobCheck) {
    this.#job = job;
    this.#blobs = blobs;
  }

  get count(): number {
    return this.#checked.size;
  }

  /** The layer `i` of an image whose blobs have been checked. Nobody can remove it now, by a lease of this name. */
  async check(image: ImageRecord, i: number, lease: string): Promise<void> {
    const key = image.keys[i];
    const diffId = image.document.diffIds[i];
    if (key === undefined || diffId === undefined || this.#checked.has(key)) return;
    const { tell } = this.#job;
    const news = (status: 'verifying' | 'done' | 'damaged'): void =>
      tell(key, { kind: 'layer', digest: diffId, status, currentBytes: 0, totalBytes: 0 });
    news('verifying');
    const blobs = image.forms.flatMap((form) => form.blobs[i] ?? []);
    const below = image.keys.slice(0, i).map((one) => `layers/${one}`);
    const whole = await this.#check({
      key,
      diffId,
      // Named by its diffID it was settled as the lowest one, if at all.
      below: key === hexOf(diffId) ? [] : below,
      blobs: blobs.filter(({ digest }) => this.#blobs.isWhole(digest)),
      lease,
      isImported: blobs.every((blob) => blob.annotations?.[BLOB_ABSENT] !== undefined),
    });
    this.#checked.set(key, whole);
    news(whole ? 'done' : 'damaged');
  }

  async #check(subject: Subject): Promise<boolean> {
    const { parts, signal } = this.#job;
    const { key, diffId, isImported } = subject;
    const there = await parts.store.layers.has(key);
    const found = there ? await digestLayer(parts, `layers/${key}`, signal) : undefined;
    if (isImported && found?.digest === diffId) {
      // One that was committed may have whiteouts, which are right above these layers alone.
      const settled = key !== hexOf(diffId);
      const facts = { tarBytes: found.tarBytes, hidesAll: false, settled };
      return await this.#checkRecord(subject, facts);
    }
    const detail = there ? 'it is not as it was unpacked' : 'it is missing';
    const blob = subject.blobs[0] ?? (isImported ? await this.#pushed(key) : undefined);
    if (blob === undefined || !(await this.#all(subject.below))) {
      // That its blob is not whole, or that one below it is missing, has been said.
      if (there && !isImported) return true;
      await this.#damaged(subject, detail, undefined);
      return false;
    }
    const copy = await this.#unpacked(subject, blob);
    try {
      if (found?.digest === copy.digest) return await this.#checkRecord(subject, copy.facts);
      await this.#damaged(subject, detail, copy);
      return false;
    } finally {
      await removeFolder(parts, copy.folder);
    }
  }

  async #all(folders: readonly string[]): Promise<boolean> {
    const { layers } = this.#job.parts.store;
    const there = await Promise.all(folders.map((folder) => layers.has(basename(folder))));
    return there.every(Boolean);
  }

  /** What a push has made of a layer that has no blob of its own. */
  async #pushed(key: string): Promise<Descriptor | undefined> {
    const { layers } = this.#job.parts.store;
    const { blob } = await layers.facts(key).catch(() => ({ blob: undefined }));
    if (blob === undefined) return undefined;
    await this.#blobs.check(blob, 'may-be-absent');
    return this.#blobs.isWhole(blob.digest) ? blob : undefined;
  }

  async #unpacked(subject: Subject, { digest, size }: Descriptor): Promise<Copy> {
    const { parts, signal } = this.#job;
    const folder = `layers/${temporaryName()}`;
    // Journalled: whoever dies now, it goes.
    await registerFolder(parts, folder, 'verify a layer');
    try {
      const path = parts.store.images.blobs.path(digest);
      const job = { path, length: size, target: folder, layer: digest, signal };
      const { tarBytes, omitted, hidesAll, diffId } = await unpack(parts, job);
      if (diffId !== subject.diffId) {
        const reason = `its contents are ${diffId}, not ${subject.diffId}`;
        throw new CaissonError('ERR_STORE_CORRUPT', { path, reason });
      }
      const settled = omitted > 0;
      if (settled) await settle(parts, folder, subject.below);
      const made = await digestLayer(parts, folder, signal);
      return { folder, digest: made.digest, facts: { tarBytes, hidesAll, settled } };
    } catch (error) {
      await removeFolder(parts, folder);
      throw error;
    }
  }

  async #damaged(subject: Subject, detail: string, copy: Copy | undefined): Promise<void> {
    const { parts, repair, users, found } = this.#job;
    const { key, diffId } = subject;
    const images = users.of(key);
    const usedBy =
      copy === undefined || !repair
        ? undefined
        : await replaceLayer(parts, {
            key,
            folder: copy.folder,
            facts: copy.facts,
            lease: subject.lease,
          });
    found({
      kind: 'layer',
      path: parts.store.path('layers', key),
      digest: diffId,
      images,
      detail,
      fix: copy === undefined ? unmendable(subject, images) : fixOf(usedBy),
      repaired: usedBy?.length === 0,
    });
  }

  /** What is noted of it. */
  async #checkRecord({ key, diffId }: Subject, facts: LayerFacts): Promise<boolean> {
    const { parts, repair, users, found } = this.#job;
    const { layers } = parts.store;
    let detail = 'it does not say what the layer is';
    try {
      const noted = await layers.facts(key);
      const same = (Object.keys(facts) as (keyof typeof facts)[]).every(
        (name) => noted[name] === facts[name],
      );
      if (same) return true;
    } catch (error) {
      if (!CaissonError.is(error, 'ERR_STORE_CORRUPT')) throw error;
      detail = error.details.reason;
    }
    if (repair) await layers.note(key, facts);
    found({
      kind: 'record',
      path: parts.store.path('layers', `${key}.json`),
      digest: diffId,
      images: users.of(key),
      detail,
      fix: repair ? '' : 'verify({ repair: true }) writes it again.',
      repaired: repair,
    });
    return repair;
  }
}
