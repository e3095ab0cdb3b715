import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { ArchivedImage, ArchivedLayer, ArchivedReference } from '../archive/image.js';
import { invalidArchive } from '../archive/invalid.js';
import type { Place, StreamedBlob } from '../archive/members.js';
import { readArchive } from '../archive/read.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import { choosePlatform, formatPlatform, hostPlatform } from '../registry/platform.js';
import { normalize } from '../registry/reference.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { BlobSink, NewBlob } from '../store/blobs.js';
import { together } from '../store/files.js';
import { MEDIA_TYPES, type Digest } from '../store/images.js';
import { holdComing } from './coming.js';
import { descriptorOf, documentOf, jsonDocument, type Document } from './documents.js';
import { layersOf, makeLayers, type MadeLayer, type WantedLayer } from './layers.js';
import { addImage, findById, listImages, tagImage, type ImageRecord } from './records.js';
import type { CallRequest } from './request.js';

export interface LoadRequest extends CallRequest {
  /** A path, or an archive as it comes. */
  readonly source: string | Readable;
}

/** A layer, and where its blob is. */
interface LoadedLayer extends WantedLayer {
  readonly name: string;
  readonly blob: Place;
}

interface ComingImage {
  /** Full ones. */
  readonly names: readonly string[];
  readonly manifest: Document;
  readonly config: Document;
  readonly layers: readonly LoadedLayer[];
}

/** One that the store has, and that gets more names. */
interface KnownImage {
  readonly names: readonly string[];
  readonly here: ImageRecord;
}

const CHUNK_BYTES = 1 << 20;

/** The images of an archive or a layout. All of them are there, or none: they are listed when the last layer is made. */
export async function loadImages(
  parts: RuntimeParts,
  { source, signal }: LoadRequest,
): Promise<ImageRecord[]> {
  throwIfAborted(signal);
  const load = new Load(parts, typeof source === 'string' ? source : 'the archive', signal);
  return await parts.supervisor.keepAlive(load.run(source));
}

class Load {
  readonly #parts: RuntimeParts;
  /** For errors. */
  readonly #source: string;
  readonly #signal: AbortSignal | undefined;
  /** Blobs of a stream, by their paths: whole, and nobody's yet. */
  readonly #streamed = new Map<string, NewBlob>();

  constructor(parts: RuntimeParts, source: string, signal: AbortSignal | undefined) {
    this.#parts = parts;
    this.#source = source;
    this.#signal = signal;
  }

  async run(source: string | Readable): Promise<ImageRecord[]> {
    try {
      const references = await readArchive(source, {
        takeBlob: (blob, bytes) => this.#take(blob, bytes),
        signal: this.#signal,
      });
      const images: (ComingImage | KnownImage)[] = [];
      for (const reference of references) images.push(await this.#imageOf(reference));
      return await this.#add(images);
    } finally {
      await together([...this.#streamed.values()].map((blob) => blob.discard()));
    }
  }

  /** It is written once: where it lies it becomes a blob of the store when an image has it. */
  async #take({ size }: StreamedBlob, bytes: AsyncIterable<Buffer>): Promise<Place> {
    const blob = await this.#parts.store.images.blobs.begin();
    this.#streamed.set(blob.path, blob);
    for await (const chunk of bytes) await blob.write(chunk);
    await blob.end();
    return { path: blob.path, offset: 0, size };
  }

  async #imageOf({ names, images }: ArchivedReference): Promise<ComingImage | KnownImage> {
    const image = this.#choose(images);
    const config = documentOf(image.config.mediaType, image.config.bytes);
    // What was no name where it was saved is none here.
    const known = [...new Set(names.flatMap((name) => normalize(name) ?? []))];
    // Without a manifest of its own it is the image that is here, whatever its layers are compressed with.
    const here = await findById(this.#parts.store, config.digest);
    if (image.manifest === undefined && here !== undefined) return { names: known, here };

    const layers: LoadedLayer[] = [];
    for (const layer of image.layers) layers.push(await this.#layerOf(layer));
    const manifest =
      image.manifest === undefined
        ? jsonDocument(MEDIA_TYPES.manifest, {
            schemaVersion: 2,
            mediaType: MEDIA_TYPES.manifest,
            config: descriptorOf(config),
            layers: layers.map(({ descriptor }) => descriptor),
          })
        : documentOf(image.manifest.mediaType, image.manifest.bytes);
    return { names: known, manifest, config, layers };
  }

  /** This machine's own of several; one alone is taken whatever it is made for, if it is Linux. */
  #choose(images: ArchivedReference['images']): ArchivedImage {
    const [only, ...others] = images;
    if (others.length === 0 && only.platform.os === 'linux') return only;
    const chosen = choosePlatform(images, hostPlatform());
    if (chosen !== undefined) return chosen;
    throw new CaissonError('ERR_PLATFORM_NOT_FOUND', {
      reference: this.#source,
      platform: formatPlatform(hostPlatform()),
      available: images.map(({ platform }) => formatPlatform(platform)),
    });
  }

  async #layerOf({ name, mediaType, digest, diffId, blob }: ArchivedLayer): Promise<LoadedLayer> {
    const streamed = await this.#streamed.get(blob.path)?.end();
    if (streamed !== undefined && digest !== undefined && streamed !== digest) {
      throw wrongDigest(name, streamed);
    }
    const found = digest ?? streamed ?? (await digestOfPlace(blob));
    return { name, descriptor: { mediaType, digest: found, size: blob.size }, diffId, blob };
  }

  async #add(images: readonly (ComingImage | KnownImage)[]): Promise<ImageRecord[]> {
    const { store } = this.#parts;
    const coming = images.filter((image) => 'layers' in image);
    const lease = await holdComing(this.#parts, ...coming.map(({ layers }) => layers));
    const added = new Set<Digest>();
    try {
      await this.#keepStreamed(coming);
      const made = new Map<ComingImage, MadeLayer[]>();
      for (const image of coming) made.set(image, await this.#layersOf(image));
      for (const image of images) {
        const { id } =
          'here' in image ? image.here : await this.#list(image, made.get(image) ?? []);
        if ('here' in image) for (const name of image.names) await tagImage(store, id, name);
        added.add(id);
        this.#parts.emit({ type: 'image.load', id, time: new Date() });
      }
    } finally {
      lease.release();
    }
    // Of two that have the same name the later one has it.
    return (await listImages(store)).filter(({ id }) => added.has(id));
  }

  async #list({ manifest, config, names }: ComingImage, layers: MadeLayer[]): Promise<ImageRecord> {
    return await addImage(this.#parts.store, {
      manifest,
      config,
      names,
      ...layersOf(layers),
    });
  }

  async #keepStreamed(images: readonly ComingImage[]): Promise<void> {
    for (const { blob } of images.flatMap(({ layers }) => layers)) {
      await this.#streamed.get(blob.path)?.keep();
      this.#streamed.delete(blob.path);
    }
  }

  async #layersOf({ layers }: ComingImage): Promise<MadeLayer[]> {
    const byDigest = (digest: string): LoadedLayer | undefined =>
      layers.find(({ descriptor }) => descriptor.digest === digest);
    try {
      return await makeLayers(this.#parts, {
        wanted: layers,
        fetch: async ({ digest }, sink, signal) => {
          const layer = byDigest(digest);
          if (layer !== undefined) await copy(layer, sink, signal);
        },
        tell: () => undefined,
        reference: this.#source,
        signal: this.#signal,
      });
    } catch (error) {
      if (!CaissonError.is(error, 'ERR_DIGEST_MISMATCH')) throw error;
      const { expected, found } = error.details;
      throw wrongDigest(byDigest(expected)?.name, found, error);
    }
  }
}

const wrongDigest = (name: string | undefined, found: string, cause?: unknown): CaissonError =>
  invalidArchive(`its bytes have the digest ${found}`, name, cause);

/** Out of the archive, which stays as it is. */
async function copy(
  { name, blob }: LoadedLayer,
  sink: BlobSink,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(blob.path);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, blob.size));
    while (sink.offset < blob.size) {
      throwIfAborted(signal);
      const most = Math.min(buffer.length, blob.size - sink.offset);
      const { bytesRead } = await file.read(buffer, 0, most, blob.offset + sink.offset);
      if (bytesRead === 0) throw invalidArchive('it is cut off', name);
      await sink.write(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

async function digestOfPlace({ path, offset, size }: Place): Promise<Digest> {
  const hash = createHash('sha256');
  const range = { start: offset, end: offset + size - 1, highWaterMark: CHUNK_BYTES };
  if (size > 0) {
    for await (const chunk of createReadStream(path, range)) hash.update(chunk as Buffer);
  }
  return `sha256:${hash.digest('hex')}`;
}
