import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RegistryClient } from '../registry/client.js';
import { formatReference, readReference, type Reference } from '../registry/reference.js';
import { registriesOf } from '../registry/registries.js';
import type { Auth } from '../runtime/options.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import { MEDIA_TYPES, type Descriptor, type Digest } from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { jsonDocument, parseImageManifest, type Document } from './documents.js';
import { exportLayer } from './export-layer.js';
import { hold, useImage } from './holds.js';
import type { Tell } from './operation.js';
import { addSource, findById, sizeOfBlob, storedDocument, type ImageRecord } from './records.js';
import type { CallRequest } from './request.js';
import { allOrNone, Slots } from './slots.js';

/** `'mounted'`: the registry has taken it from another of its repositories. */
export type PushStatus = 'waiting' | 'compressing' | 'uploading' | 'exists' | 'mounted' | 'done';

/** How far one layer, or the configuration, is. */
export interface PushEvent {
  /** The first digits of its digest. */
  readonly layer: string;
  readonly digest: Digest;
  readonly status: PushStatus;
  readonly currentBytes: number;
  readonly totalBytes: number;
}

export interface PushRequest extends CallRequest {
  readonly reference: Reference;
  readonly auth: Auth | undefined;
}

const AT_ONCE = 4;
const CHUNK_BYTES = 1 << 20;

/** Sees to it that the registry has the image under that name; returns the digest of its manifest there. */
export async function pushImage(
  parts: RuntimeParts,
  id: Digest,
  request: PushRequest,
  tell: Tell<PushEvent>,
): Promise<Digest> {
  throwIfAborted(request.signal);
  const end = useImage(parts, await hold(parts, id));
  try {
    const image = await findById(parts.store, id);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    const work = new Push(parts, image, request, tell).run();
    return await parts.supervisor.keepAlive(work);
  } finally {
    end();
  }
}

class Push {
  readonly #parts: RuntimeParts;
  readonly #image: ImageRecord;
  readonly #request: PushRequest;
  readonly #tell: Tell<PushEvent>;
  readonly #client: RegistryClient;

  constructor(
    parts: RuntimeParts,
    image: ImageRecord,
    request: PushRequest,
    tell: Tell<PushEvent>,
  ) {
    this.#parts = parts;
    this.#image = image;
    this.#request = request;
    this.#tell = tell;
    this.#client = registriesOf(parts).client(request.reference.domain, request.auth);
  }

  async run(): Promise<Digest> {
    const { store } = this.#parts;
    const { reference, signal } = this.#request;
    const manifest = await storedDocument(store, this.#image.manifest);
    const { config } = parseImageManifest(manifest, manifest.digest);

    const slots = new Slots(AT_ONCE);
    const blobs = await allOrNone(signal, (stop) => [
      ...this.#image.blobs.map((blob, i) => slots.use(() => this.#layer(blob, i, stop), stop)),
      slots.use(() => this.#blob(config, stop), stop),
    ]);
    const layers = blobs.slice(0, -1);
    const pushed = this.#pushed(manifest, layers);
    const tag = reference.tag ?? 'latest';
    const found = await this.#client.pushManifest(reference.path, tag, pushed, { signal });
    const { domain, path } = reference;
    await addSource(store, manifest.digest, formatReference({ domain, path, digest: found }));
    this.#parts.emit({ type: 'image.push', id: this.#image.id, time: new Date() });
    return found;
  }

  /** The image's own, unless some of its layers have no blob of their own: then one with those that were made. */
  #pushed(manifest: Document, layers: readonly Descriptor[]): Document {
    if (layers.every(({ digest }, i) => digest === this.#image.blobs[i]?.digest)) return manifest;
    const own = JSON.parse(Buffer.from(manifest.bytes).toString()) as object;
    return jsonDocument(manifest.mediaType, { ...own, layers });
  }

  async #layer(blob: Descriptor, i: number, signal: AbortSignal): Promise<Descriptor> {
    this.#progress(blob, 'waiting', 0);
    const there = await sizeOfBlob(this.#parts.store, blob);
    const own = there === undefined ? await this.#compressed(blob, i, signal) : blob;
    return await this.#blob(own, signal, blob);
  }

  /** `shown`: what it is called to who follows the progress. */
  async #blob(blob: Descriptor, signal: AbortSignal, shown = blob): Promise<Descriptor> {
    const { path, domain } = this.#request.reference;
    const file = this.#parts.store.images.blobs.path(blob.digest);
    const source = {
      ...blob,
      open: (start: number, end: number) =>
        createReadStream(file, { start, end: end - 1, highWaterMark: CHUNK_BYTES }),
    };
    const sources = this.#image.forms.flatMap((form) => form.sources).map(readReference);
    const from = sources.find((one) => one?.domain === domain && one.path !== path);
    const outcome = await this.#client.pushBlob(path, source, {
      mountFrom: from?.path,
      signal,
      onBytes: (total) => this.#progress(shown, 'uploading', total, blob.size),
    });
    this.#progress(shown, outcome === 'uploaded' ? 'done' : outcome, blob.size, blob.size);
    return blob;
  }

  /** A layer that came from a folder has no blob yet: one is made, the same each time, and kept. */
  async #compressed(blob: Descriptor, i: number, signal: AbortSignal): Promise<Descriptor> {
    const { store } = this.#parts;
    const key = this.#image.keys[i] ?? hexOf(blob.digest);
    const facts = await store.layers.facts(key);
    if (
      facts.blob !== undefined &&
      (await store.images.blobs.sizeOf(facts.blob.digest)) !== undefined
    ) {
      return facts.blob;
    }
    this.#progress(blob, 'compressing', 0);
    const made = await store.images.blobs.begin();
    try {
      let read = 0;
      const { size } = blob;
      const counted = async function* (
        source: AsyncIterable<Uint8Array>,
        tell: (bytes: number) => void,
      ): AsyncGenerator<Uint8Array> {
        for await (const chunk of source) {
          read += chunk.length;
          tell(Math.min(read, size));
          yield chunk;
        }
      };
      await pipeline(
        counted(exportLayer(this.#parts, `layers/${key}`), (bytes) =>
          this.#progress(blob, 'compressing', bytes),
        ),
        createGzip({ chunkSize: CHUNK_BYTES }),
        async (chunks: AsyncIterable<Buffer>) => {
          for await (const chunk of chunks) await made.write(chunk);
        },
        { signal },
      );
      // A removal in between would take what nobody names.
      return await store.locks.hold(IMAGES_LOCK, 'shared', async () => {
        const kept = { mediaType: `${MEDIA_TYPES.layerTar}+gzip`, ...(await made.keep()) };
        await store.layers.note(key, { ...facts, blob: kept });
        return kept;
      });
    } catch (error) {
      await made.discard();
      throw error;
    }
  }

  #progress(
    { digest, size }: Descriptor,
    status: PushStatus,
    bytes: number,
    totalBytes = size,
  ): void {
    const layer = hexOf(digest).slice(0, 12);
    this.#tell(digest, { layer, digest, status, currentBytes: bytes, totalBytes });
  }
}
