import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CaissonError } from '../errors/index.js';
import { Tag, Type } from '../native/protocol.js';
import type { Binding } from '../native/types.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import { openFd } from '../store/files.js';
import type { Digest } from '../store/images.js';
import type { LayerFacts } from '../store/layers.js';

/** What an image may be at most: beyond it, it is more likely an attack. */
export const MAX_LAYER_BYTES = 64 * 2 ** 30;
export const MAX_LAYER_ENTRIES = 5_000_000;

export interface UnpackJob {
  /** Of the blob, or of a file that holds it. */
  readonly path: string;
  readonly offset?: number;
  readonly length: number;
  /** Store-relative; what `registerFolder` was told. */
  readonly target: string;
  /** Says how many bytes are there; absent: all of them. */
  readonly feed?: Feed;
  /** For errors. */
  readonly layer: string;
  readonly signal?: AbortSignal | undefined;
}

/** Of what was read, whatever was expected. */
export interface Unpacked {
  readonly blobDigest: Digest;
  readonly diffId: Digest;
  readonly tarBytes: number;
  readonly entries: number;
  /** Folders that lie above entries of the layer and are not in it, and whiteouts: for `settle`. */
  readonly omitted: number;
  /** Nothing of the layers below is to show. */
  readonly hidesAll: boolean;
}

/**
 * Makes a layer's folder of its blob, in a process that can write nowhere else. Complete, or absent; on the disk when
 * `syncStore` has been called.
 */
export async function unpack(parts: RuntimeParts, job: UnpackJob): Promise<Unpacked> {
  const body = new FieldWriter(256)
    .string(Tag.unpackTarget, job.target)
    .u64(Tag.unpackOffset, job.offset ?? 0)
    .u64(Tag.unpackLength, job.length)
    .u64(Tag.unpackMaxBytes, MAX_LAYER_BYTES)
    .u64(Tag.unpackMaxEntries, MAX_LAYER_ENTRIES)
    .bytes();
  const context = { action: 'unpack a layer', pathOf: (): string => parts.store.path('layers') };
  let fd: number;
  try {
    fd = await openFd(job.path, 'r');
  } catch (error) {
    job.feed?.end();
    throw error;
  }
  const fds = job.feed === undefined ? [fd] : [fd, job.feed.remote];
  try {
    const done = await parts.supervisor.request(Type.unpack, body, context, job.signal, fds);
    const digest = (tag: Tag): Digest => {
      const text = done.string(tag);
      if (text?.startsWith('sha256:') !== true) throw new Error('unpacked without a digest');
      return text as Digest;
    };
    return {
      blobDigest: digest(Tag.unpackBlobDigest),
      diffId: digest(Tag.unpackDiffId),
      tarBytes: done.number(Tag.unpackTarBytes) ?? 0,
      entries: done.number(Tag.unpackEntries) ?? 0,
      omitted: done.number(Tag.unpackOmitted) ?? 0,
      hidesAll: done.number(Tag.unpackHidesAll) === 1,
    };
  } catch (error) {
    throw unpackError(error, job.layer);
  } finally {
    job.feed?.end();
  }
}

/** All that was written to the store before is on the disk. With delayed allocation a full one may show only here. */
export async function syncStore(parts: RuntimeParts): Promise<void> {
  const context = { action: 'sync the store', pathOf: (): string => parts.store.path('layers') };
  await parts.supervisor.request(Type.sync, new Uint8Array(), context);
}

/**
 * Settles a new layer on those of these keys, where it leaves out folders or hides what may not be there. What it is to be
 * called, and what is to be noted of it.
 */
export async function settleOn(
  parts: RuntimeParts,
  folder: string,
  { diffId, tarBytes, hidesAll, omitted }: Unpacked,
  /** Lowest first, and the chainID of all with it. */
  below: { readonly keys: readonly string[]; readonly chainId: Digest },
): Promise<{ readonly key: string; readonly facts: LayerFacts }> {
  const settled = omitted > 0;
  if (settled) {
    const lower = below.keys.map((key) => `layers/${key}`);
    await settle(parts, folder, lower);
  }
  const key = hexOf(settled && below.keys.length > 0 ? below.chainId : diffId);
  return { key, facts: { tarBytes, hidesAll, settled } };
}

/**
 * Gives folders that the layer leaves out what the layers below it say of them, and takes whiteouts away that hide
 * nothing there, which overlay would show.
 */
export async function settle(
  parts: RuntimeParts,
  target: string,
  lower: readonly string[],
): Promise<void> {
  const body = new FieldWriter(512).string(Tag.unpackTarget, target).strings(Tag.layer, lower);
  await parts.supervisor.request(Type.settle, body.bytes(), { action: 'settle a layer' });
}

/** What is wrong with the layer is the image's fault, not the machine's. */
function unpackError(error: unknown, layer: string): unknown {
  if (!CaissonError.is(error, 'ERR_REQUEST_FAILED')) return error;
  const { errno, detail = '' } = error.details;
  const reason = REASONS[errno];
  if (reason === undefined) return error;
  return new CaissonError(
    'ERR_IMAGE_INVALID',
    { reference: layer, reason: detail === '' ? reason : `${reason}: ${JSON.stringify(detail)}` },
    { cause: error },
  );
}

const REASONS: Readonly<Record<string, string>> = {
  EBADMSG: 'its layer is no tar archive, or damaged',
  EINVAL: 'its layer has an entry that is not allowed',
  EFBIG: `its layer has more than ${MAX_LAYER_BYTES} bytes or ${MAX_LAYER_ENTRIES} entries`,
  ELOOP: 'its layer leads out of itself',
  EXDEV: 'its layer leads out of itself',
  ENAMETOOLONG: 'its layer has a name that is too long',
};

/** Tells an unpacking how far a download is: it reads what is there. */
export class Feed {
  /** To be sent. */
  readonly remote: number;
  readonly #binding: Binding;
  #local: number;
  #told = 0;

  constructor(binding: Binding) {
    this.#binding = binding;
    const { local, remote } = binding.pipe('toChild');
    this.#local = local;
    this.remote = remote;
  }

  /** So many bytes are there now. */
  advance(total: number): void {
    const STEP = 256 * 1024;
    if (total - this.#told >= STEP) this.#tell(total);
  }

  /** These are all. */
  async finish(total: number): Promise<void> {
    while (this.#local >= 0 && this.#told < total && !this.#tell(total)) await sleep(5);
    this.end();
  }

  /** There will be no more. Twice is silent. */
  end(): void {
    if (this.#local >= 0) this.#binding.closeFd(this.#local);
    this.#local = -1;
  }

  /** False: it has no room for more news. */
  #tell(total: number): boolean {
    if (this.#local < 0) return true;
    const news = new BigUint64Array([BigInt(total)]);
    try {
      writeSync(this.#local, news);
      this.#told = total;
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return false;
      // Nobody reads any more: it has failed, and says so itself.
      this.end();
      return true;
    }
  }
}
