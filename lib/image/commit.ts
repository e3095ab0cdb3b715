import { layerType, compressionOfType } from '../archive/media-types.js';
import { CaissonError } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { MEDIA_TYPES, type Descriptor, type Digest } from '../store/images.js';
import { holdLayers } from './coming.js';
import {
  descriptorOf,
  folderDescriptor,
  jsonDocument,
  parseImageManifest,
  type Document,
} from './documents.js';
import { withNewLayer, type NewLayer } from './new-layer.js';
import { addImage, findById, storedDocument, type ImageRecord } from './records.js';

/** What an image is made of that comes of another one. */
export interface NewChild {
  /** What it is to be run like, in the members of an image's configuration. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly createdBy: string;
  readonly comment: string;
  readonly author: string;
  /** Full ones. */
  readonly names: readonly string[];
  /** An archive of what is different, which is taken apart and not kept; absent: nothing is. */
  readonly archive: { readonly path: string; readonly size: number } | undefined;
  readonly signal: AbortSignal;
}

/** An image to build upon: it, its layers and its blobs stay until it is released. */
export class Parent {
  readonly #parts: RuntimeParts;
  readonly #release: () => void;
  readonly record: ImageRecord;
  readonly #layers: readonly Descriptor[];
  /** As it was written, with members that nobody here knows. */
  readonly #document: Readonly<Record<string, unknown>>;

  /** @internal */
  constructor(
    parts: RuntimeParts,
    record: ImageRecord,
    manifest: Document,
    config: Buffer,
    release: () => void,
  ) {
    this.#parts = parts;
    this.record = record;
    this.#layers = parseImageManifest(manifest, record.id).layers;
    this.#document = JSON.parse(config.toString()) as Readonly<Record<string, unknown>>;
    this.#release = release;
  }

  /** @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND` when it was removed */
  static async hold(parts: RuntimeParts, id: Digest): Promise<Parent> {
    const find = async (): Promise<ImageRecord> => {
      const found = await findById(parts.store, id);
      if (found === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
      return found;
    };
    let record = await find();
    const blobs = record.blobs.map(({ digest }) => digest);
    const lease = await holdLayers(parts, record.keys, blobs, async () => {
      // Between the two looks it may have been removed.
      record = await find();
    });
    try {
      const manifest = await storedDocument(parts.store, record.manifest);
      const config = await parts.store.images.readDocument(id);
      return new Parent(parts, record, manifest, config, () => lease.release());
    } catch (error) {
      lease.release();
      throw error;
    }
  }

  release(): void {
    this.#release();
  }

  /** What its configuration says of running it, all of it. */
  get config(): Readonly<Record<string, unknown>> {
    return (this.#document['config'] ?? {}) as Readonly<Record<string, unknown>>;
  }

  /** Makes and lists an image of its layers and, where there is an archive, one more. */
  async commit(child: NewChild): Promise<ImageRecord> {
    const { archive, signal } = child;
    if (archive === undefined) return await this.#add(child);
    const { keys, document } = this.record;
    const job = {
      ...archive,
      below: { keys, diffIds: document.diffIds },
      name: 'the container',
      signal,
    };
    return await withNewLayer(this.#parts, job, (layer) => this.#add(child, layer));
  }

  async #add(child: NewChild, layer?: NewLayer): Promise<ImageRecord> {
    const { keys, layers, sizeBytes } = this.record;
    const config = this.#configOf(child, layer);
    const manifest = jsonDocument(MEDIA_TYPES.manifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: descriptorOf(config),
      layers: [
        ...this.#layers.map(asOci),
        ...(layer === undefined ? [] : [folderDescriptor(layer.diffId, layer.tarBytes)]),
      ],
    });
    const image = {
      manifest,
      config,
      names: child.names,
      keys: [...keys, ...(layer === undefined ? [] : [layer.key])],
      // The skeleton is one of those that show.
      hidden: keys.length - (layers.length - 1),
      sizeBytes: sizeBytes + (layer?.tarBytes ?? 0),
    };
    return await addImage(this.#parts.store, image, async () => {
      await layer?.place();
    });
  }

  #configOf({ config, createdBy, comment, author }: NewChild, layer?: NewLayer): Document {
    const { diffIds } = this.record.document;
    const created = new Date().toISOString();
    const entry = {
      created,
      created_by: createdBy,
      ...(author === '' ? {} : { author }),
      ...(comment === '' ? {} : { comment }),
      ...(layer === undefined ? { empty_layer: true } : {}),
    };
    return jsonDocument(MEDIA_TYPES.config, {
      ...withoutOwn(this.#document),
      created,
      ...(author === '' ? {} : { author }),
      config,
      rootfs: {
        type: 'layers',
        diff_ids: [...diffIds, ...(layer === undefined ? [] : [layer.diffId])],
      },
      history: [...this.#history(), entry],
    });
  }

  /** With an entry for each layer: those of an image that came from a folder have none. */
  #history(): readonly unknown[] {
    const { diffIds, history } = this.record.document;
    const told = history.filter(({ emptyLayer }) => !emptyLayer).length;
    const own = this.#document['history'];
    const missing = Array.from({ length: Math.max(diffIds.length - told, 0) }, () => ({}));
    return [...(Array.isArray(own) ? (own as unknown[]) : []), ...missing];
  }
}

/** What is true of the parent alone. */
function withoutOwn(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const own = ['author', 'container', 'container_config', 'docker_version', 'id', 'parent'];
  return Object.fromEntries(Object.entries(document).filter(([name]) => !own.includes(name)));
}

/** In one manifest there are the types of one kind. What may not be given away has none of OCI's any more. */
function asOci(layer: Descriptor): Descriptor {
  const how = compressionOfType(layer.mediaType);
  if (how === undefined || /foreign|nondistributable/.test(layer.mediaType)) return layer;
  return { ...layer, mediaType: layerType(how) };
}
