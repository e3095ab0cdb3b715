import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { digestOf, hexOf } from '../store/digest.js';
import type { BlobSink, PartialBlob } from '../store/blobs.js';
import { temporaryName, together } from '../store/files.js';
import type { Descriptor, Digest } from '../store/images.js';
import { registerFolder, removeFolder } from './folders.js';
import type { NewImage } from './records.js';
import { allOrNone, Slots } from './slots.js';
import { SharedSync } from './shared-sync.js';
import { Feed, settleOn, syncStore, unpack, type Unpacked } from './unpack.js';

/** One layer of an image that is to be here. */
export interface WantedLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

/** Where it is. */
export interface MadeLayer {
  /** Name of its folder below `layers/`: its diffID, or its chainID when it leaves out folders above its entries. */
  readonly key: string;
  /** Without compression. */
  readonly tarBytes: number;
  /** Nothing of the layers below it shows, which an overlay mount cannot say. */
  readonly hidesAll: boolean;
}

export type LayerStatus = 'waiting' | 'downloading' | 'verifying' | 'unpacking' | 'done' | 'exists';

/** Brings the bytes of a blob from `sink.offset` on, all of them. */
export type FetchBlob = (blob: Descriptor, sink: BlobSink, signal: AbortSignal) => Promise<void>;

export interface LayersJob {
  /** Lowest first. */
  readonly wanted: readonly WantedLayer[];
  /** Absent: the blobs are here. */
  readonly fetch?: FetchBlob;
  readonly tell: (layer: WantedLayer, status: LayerStatus, bytes: number) => void;
  /** For errors. */
  readonly reference: string;
  readonly signal?: AbortSignal | undefined;
}

/** How many layers are fetched and unpacked at once. */
const AT_ONCE = 4;

/**
 * Fetches the blobs of these layers and unpacks them while they come, several at once. What is there by the end is
 * verified: each blob against its digest, each layer against its diffID. The first failure stops the others; of
 * blobs that have come in part the part stays.
 */
export async function makeLayers(parts: RuntimeParts, job: LayersJob): Promise<MadeLayer[]> {
  const slots = new Slots(AT_ONCE);
  const disk = new SharedSync(() => syncStore(parts));
  const chain = chainIds(job.wanted.map(({ diffId }) => diffId));
  return await allOrNone(job.signal, (signal) => {
    const made: Promise<MadeLayer>[] = [];
    for (const [i, wanted] of job.wanted.entries()) {
      const maker = new LayerMaker(parts, job, wanted, chain[i] ?? wanted.diffId, signal);
      made.push(maker.make({ slots, disk, below: made.slice() }));
    }
    return made;
  });
}

/** What an image that is made of these is listed with. */
export const layersOf = (
  made: readonly MadeLayer[],
): Pick<NewImage, 'keys' | 'sizeBytes' | 'hidden'> => ({
  keys: made.map(({ key }) => key),
  sizeBytes: made.reduce((sum, { tarBytes }) => sum + tarBytes, 0),
  hidden: made.findLastIndex(({ hidesAll }) => hidesAll),
});

/** image-spec, "Layer ChainID". */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`)));
  }
  return chain;
}

/** Unpacked, with no place yet. */
interface Half {
  readonly temporary: string;
  readonly unpacked: Unpacked;
}

/** What the layers of an image share. */
interface Together {
  readonly slots: Slots;
  readonly disk: SharedSync;
  /** Those under it, which it may have to wait for. */
  readonly below: readonly Promise<MadeLayer>[];
}

class LayerMaker {
  readonly #parts: RuntimeParts;
  readonly #job: LayersJob;
  readonly #wanted: WantedLayer;
  readonly #chainId: Digest;
  readonly #signal: AbortSignal;
  readonly #blobs;

  constructor(
    parts: RuntimeParts,
    job: LayersJob,
    wanted: WantedLayer,
    chainId: Digest,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#job = job;
    this.#wanted = wanted;
    this.#chainId = chainId;
    this.#signal = signal;
    this.#blobs = parts.store.images.blobs;
  }

  async make({ slots, disk, below }: Together): Promise<MadeLayer> {
    this.#tell('waiting');
    const half = await slots.use(() => this.#unpacked(), this.#signal);
    if ('key' in half) return half;
    try {
      // In no slot, and holding no lock: what is waited for may need them, and others go on.
      await disk.done();
      const made = await this.#place(half, await Promise.all(below));
      this.#tell('done', this.#wanted.descriptor.size);
      return made;
    } finally {
      // What is still there was not needed; of what was moved away, this forgets the journal's record.
      this.#parts.background(removeFolder(this.#parts, half.temporary));
    }
  }

  async #unpacked(): Promise<MadeLayer | Half> {
    throwIfAborted(this.#signal);
    const { digest, size } = this.#wanted.descriptor;
    const ready = await this.#find();
    const fetched = await this.#blobs.fetch(
      digest,
      size,
      async (blob) => await (ready === undefined ? this.#streamed(blob) : this.#fetched(blob)),
      this.#signal,
    );
    if (fetched !== 'exists' && fetched !== undefined) return fetched;
    // Somebody may have made it while we waited for the blob.
    const found = ready ?? (await this.#find());
    if (found === undefined) return await this.#fromBlob();
    this.#tell(fetched === 'exists' ? 'exists' : 'done', size);
    return found;
  }

  /** The layer's folder, if it is there. */
  async #find(): Promise<MadeLayer | undefined> {
    const { layers } = this.#parts.store;
    for (const key of new Set([hexOf(this.#chainId), hexOf(this.#wanted.diffId)])) {
      if (!(await layers.has(key))) continue;
      const facts = await layers.facts(key);
      // As the lowest layer of another image its whiteouts were nothing, and are gone.
      if (facts.settled && key !== hexOf(this.#chainId)) continue;
      return { key, ...facts };
    }
    return undefined;
  }

  /** Unpacks while it comes. */
  async #streamed(blob: PartialBlob): Promise<Half> {
    const again = blob.offset > 0;
    try {
      return await this.#stream(blob);
    } catch (error) {
      // What was there may have been damaged. Once from the beginning, then.
      const damaged =
        CaissonError.is(error, 'ERR_DIGEST_MISMATCH') ||
        CaissonError.is(error, 'ERR_IMAGE_INVALID');
      if (!again || !damaged) throw error;
      return await this.#stream(blob);
    }
  }

  async #stream(blob: PartialBlob): Promise<Half> {
    const { size } = this.#wanted.descriptor;
    const feed = new Feed(this.#parts.binding);
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#signal, stop.signal]);
    const half = this.#unpack({ path: blob.path, length: size, feed, signal });
    half.catch((error: unknown) => stop.abort(error));
    const fetching = this.#fetch(this.#watched(blob, feed), signal).then(
      () => feed.finish(size),
      (error: unknown) => {
        feed.end();
        stop.abort(error);
        throw error;
      },
    );
    try {
      await together([half, fetching]);
    } catch {
      await half.then(
        ({ temporary }) => removeFolder(this.#parts, temporary),
        () => undefined, // it has left nothing
      );
      throwIfAborted(this.#signal);
      const reason: unknown = stop.signal.reason;
      if (CaissonError.is(reason, 'ERR_IMAGE_INVALID')) throw await this.#whyInvalid(blob, reason);
      throw reason;
    }
    const done = await half;
    try {
      this.#tell('verifying', size);
      await this.#verify(blob, done.unpacked);
      await blob.keep();
    } catch (error) {
      await removeFolder(this.#parts, done.temporary);
      throw error;
    }
    this.#tell('unpacking', size);
    return done;
  }

  /** The blob alone: the layer is there, of another blob with the same contents. */
  async #fetched(blob: PartialBlob): Promise<undefined> {
    const { digest, size } = this.#wanted.descriptor;
    await this.#fetch(this.#watched(blob), this.#signal);
    this.#tell('verifying', size);
    const found = await digestOfFile(blob.path);
    if (found !== digest) {
      await blob.discard();
      throw mismatch(digest, found);
    }
    await blob.keep();
    return undefined;
  }

  async #fromBlob(): Promise<Half> {
    const { digest, size } = this.#wanted.descriptor;
    this.#tell('unpacking', size);
    const path = this.#blobs.path(digest);
    const half = await this.#unpack({ path, length: size, signal: this.#signal });
    if (half.unpacked.blobDigest === digest && half.unpacked.diffId === this.#wanted.diffId) {
      return half;
    }
    await removeFolder(this.#parts, half.temporary);
    if (half.unpacked.blobDigest === digest) throw this.#wrongContents(half.unpacked);
    const reason = `its digest is ${half.unpacked.blobDigest}`;
    throw new CaissonError('ERR_STORE_CORRUPT', { path, reason });
  }

  async #unpack(job: {
    readonly path: string;
    readonly length: number;
    readonly feed?: Feed;
    readonly signal: AbortSignal;
  }): Promise<Half> {
    const temporary = `layers/${temporaryName()}`;
    // Journalled: whoever dies now, it goes.
    await registerFolder(this.#parts, temporary, 'unpack a layer');
    try {
      const target = { target: temporary, layer: this.#job.reference };
      return { temporary, unpacked: await unpack(this.#parts, { ...job, ...target }) };
    } catch (error) {
      await removeFolder(this.#parts, temporary);
      throw error;
    }
  }

  /** Whether the image is at fault, or who has damaged it on its way. Nothing of it is kept. */
  async #whyInvalid(blob: PartialBlob, error: CaissonError): Promise<unknown> {
    const { digest, size } = this.#wanted.descriptor;
    const found = blob.offset === size ? await digestOfFile(blob.path) : digest;
    await blob.clear();
    return found === digest ? error : mismatch(digest, found);
  }

  async #verify(blob: PartialBlob, { blobDigest, diffId }: Unpacked): Promise<void> {
    const { digest } = this.#wanted.descriptor;
    if (blobDigest !== digest) {
      await blob.clear();
      throw mismatch(digest, blobDigest);
    }
    if (diffId === this.#wanted.diffId) return;
    await blob.discard();
    throw this.#wrongContents({ diffId });
  }

  #wrongContents({ diffId }: Pick<Unpacked, 'diffId'>): CaissonError {
    const reason = `layer ${this.#wanted.descriptor.digest} has the contents ${diffId}, not ${this.#wanted.diffId}`;
    return new CaissonError('ERR_IMAGE_INVALID', { reference: this.#job.reference, reason });
  }

  async #place({ temporary, unpacked }: Half, below: readonly MadeLayer[]): Promise<MadeLayer> {
    const { layers } = this.#parts.store;
    const { key, facts } = await settleOn(this.#parts, temporary, unpacked, {
      keys: below.map((layer) => layer.key),
      chainId: this.#chainId,
    });
    await layers.note(key, facts);
    await layers.place(temporary, key);
    return { key, ...facts };
  }

  async #fetch(sink: BlobSink, signal: AbortSignal): Promise<void> {
    const { fetch } = this.#job;
    const { digest, size } = this.#wanted.descriptor;
    if (fetch === undefined) {
      const reason = `the blob ${digest} is missing`;
      throw new CaissonError('ERR_IMAGE_INVALID', { reference: this.#job.reference, reason });
    }
    this.#tell('downloading', sink.offset);
    if (sink.offset < size) await fetch(this.#wanted.descriptor, sink, signal);
  }

  /** Tells how far it is. */
  #watched(blob: PartialBlob, feed?: Feed): BlobSink {
    const news = (): void => {
      feed?.advance(blob.offset);
      this.#tell('downloading', blob.offset);
    };
    return {
      get offset() {
        return blob.offset;
      },
      write: async (chunk) => {
        await blob.write(chunk);
        news();
      },
      // Who reads along goes on: the bytes are to be the same, or else the digest will not be.
      restart: () => blob.restart(),
    };
  }

  #tell(status: LayerStatus, bytes = 0): void {
    this.#job.tell(this.#wanted, status, bytes);
  }
}

const mismatch = (expected: Digest, found: Digest): CaissonError =>
  new CaissonError('ERR_DIGEST_MISMATCH', { what: 'a blob', expected, found });

async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
  }
  return `sha256:${hash.digest('hex')}`;
}
