import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { isAbsent } from '../store/files.js';
import type { Descriptor, Digest } from '../store/images.js';
import type { Tell } from './operation.js';
import type { ImageRecord } from './records.js';
import type { StoreProblem, VerifyEvent } from './verify.js';

/** What the parts of a verification share. */
export interface VerifyJob {
  readonly parts: RuntimeParts;
  readonly tell: Tell<VerifyEvent>;
  readonly found: (problem: StoreProblem) => void;
  readonly users: Users;
  readonly repair: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Who needs what, by a name of each image or its id. */
export class Users {
  readonly #users = new Map<string, Set<string>>();

  add(images: readonly ImageRecord[]): void {
    for (const { id, tags, forms, keys } of images) {
      const blobs = forms.flatMap((form) => form.blobs.map(({ digest }) => digest));
      for (const used of [...blobs, ...keys]) {
        const users = this.#users.get(used) ?? new Set();
        this.#users.set(used, users.add(tags[0] ?? id));
      }
    }
  }

  /** Of a blob by its digest, of a layer by its key. */
  of(used: string): readonly string[] {
    return [...(this.#users.get(used) ?? [])];
  }
}

/** Blobs against their sizes and digests, each once. */
export class BlobCheck {
  readonly #job: VerifyJob;
  /** Whether it is whole. */
  readonly #checked = new Map<Digest, boolean>();
  count = 0;
  bytes = 0;

  constructor(job: VerifyJob) {
    this.#job = job;
  }

  has(digest: Digest): boolean {
    return this.#checked.has(digest);
  }

  /** Whether it is there and whole, as far as that was looked at. */
  isWhole(digest: Digest): boolean {
    return this.#checked.get(digest) === true;
  }

  async check(blob: Descriptor, presence: 'must-be-there' | 'may-be-absent'): Promise<void> {
    const { digest } = blob;
    if (this.#checked.has(digest)) return;
    const { parts, repair, users, found } = this.#job;
    const { blobs } = parts.store.images;
    const seen = await blobs.seen(digest);
    if (seen === undefined && presence === 'may-be-absent') return;

    const path = blobs.path(digest);
    let detail: string | undefined = 'it is missing';
    try {
      if (seen !== undefined) detail = await this.#damage(path, blob, seen.size);
    } catch (error) {
      // Whom nobody needs may go meanwhile.
      if (isAbsent(error) && presence === 'may-be-absent') return;
      if (!isAbsent(error)) throw error;
    }
    this.count += 1;
    this.#checked.set(digest, detail === undefined);
    if (detail === undefined) return;
    const gone = seen === undefined || (repair && (await blobs.removeDamaged(digest, seen)));
    const images = users.of(digest);
    const repaired = gone && images.length === 0;
    found({ kind: 'blob', path, digest, images, detail, fix: fixOf(images, gone), repaired });
  }

  async #damage(
    path: string,
    { digest, size }: Descriptor,
    there: number,
  ): Promise<string | undefined> {
    if (there !== size) return `it has ${there} bytes, not ${size}`;
    const { tell, signal } = this.#job;
    const hash = createHash('sha256');
    let currentBytes = 0;
    const news = (status: VerifyEvent['status']): void =>
      tell(digest, { kind: 'blob', digest, status, currentBytes, totalBytes: size });
    news('verifying');
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      throwIfAborted(signal);
      const bytes = chunk as Buffer;
      hash.update(bytes);
      currentBytes += bytes.length;
      this.bytes += bytes.length;
      news('verifying');
    }
    const found = `sha256:${hash.digest('hex')}`;
    news(found === digest ? 'done' : 'damaged');
    return found === digest ? undefined : `its digest is ${found}`;
  }
}

function fixOf([image]: readonly string[], isGone: boolean): string {
  if (image === undefined) {
    return isGone ? '' : 'No image needs it: verify({ repair: true }) removes it.';
  }
  const again = `pull ${image} with { policy: 'always' }, or load it again`;
  return isGone
    ? `To have it again, ${again}.`
    : `Let verify({ repair: true }) take it away; then ${again}.`;
}
