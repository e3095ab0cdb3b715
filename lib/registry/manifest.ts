import { CaissonError } from '../errors/index.js';
import { DOCKER_MEDIA_TYPES, MEDIA_TYPES, type Descriptor } from '../store/images.js';
import { isDigest } from '../store/digest.js';

const INDEXES: ReadonlySet<string> = new Set([MEDIA_TYPES.index, DOCKER_MEDIA_TYPES.index]);
const MANIFESTS: ReadonlySet<string> = new Set([MEDIA_TYPES.manifest, DOCKER_MEDIA_TYPES.manifest]);
const CONFIGS: ReadonlySet<string> = new Set([MEDIA_TYPES.config, DOCKER_MEDIA_TYPES.config]);
const LAYERS = /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.)/;
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;
/** What servers that know nothing of images call everything. */
const GENERIC: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

export const isIndexType = (type: string): boolean => INDEXES.has(type);

/** What is asked for: images alone. */
export const ACCEPT = [...INDEXES, ...MANIFESTS].join(', ');

/** How many of each a document may name. */
const MAX_ENTRIES = 4096;
/** Kubernetes' largest images have some dozens; overlay takes a few hundred. */
const MAX_LAYERS = 1024;

export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ManifestIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

type Bag = Readonly<Record<string, unknown>>;

/**
 * Reads an image's manifest or index. One document is one type: what came with it, what it says and what it holds must
 * agree (CVE-2021-41190).
 *
 * @param mediaType - As the answer's header says, or empty.
 * @param reference - For errors.
 * @throws {@link CaissonError} `ERR_IMAGE_INVALID`; `ERR_UNSUPPORTED` for what is no image
 */
export function parseManifest(
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: Uint8Array },
  reference: string,
): ImageManifest | ManifestIndex {
  return new Reader(reference).manifest(bytes, mediaType);
}

class Reader {
  readonly #reference: string;

  constructor(reference: string) {
    this.#reference = reference;
  }

  manifest(bytes: Uint8Array, header: string): ImageManifest | ManifestIndex {
    const document = this.#object(bytes);
    const type = this.#typeOf(document, header);
    if (SCHEMA_1.test(type) || document['schemaVersion'] === 1) {
      throw this.#unsupported('it is of schema 1, from before 2016: its owner can push it again');
    }
    if (document['schemaVersion'] !== 2) throw this.#invalid('it has no schemaVersion 2');
    if (INDEXES.has(type))
      return { kind: 'index', mediaType: type, manifests: this.#entries(document) };
    if (MANIFESTS.has(type)) return this.#image(document, type);
    throw this.#unsupported(`it is of the type ${shown(type)}`);
  }

  #image(document: Bag, mediaType: string): ImageManifest {
    const config = this.#descriptor(document['config'], 'its config');
    const artifact = document['artifactType'];
    if (!CONFIGS.has(config.mediaType) || isText(artifact)) {
      const type = isText(artifact) ? artifact : config.mediaType;
      throw this.#unsupported(`it is an artifact of the type ${shown(type)}, not an image`);
    }
    const layers = this.#list(document, 'layers', MAX_LAYERS).map((one, i) =>
      this.#descriptor(one, `its layer ${i + 1}`),
    );
    const foreign = layers.find((layer) => !LAYERS.test(layer.mediaType));
    if (foreign !== undefined) {
      throw this.#unsupported(`it has a layer of the type ${shown(foreign.mediaType)}`);
    }
    return { kind: 'image', mediaType, config, layers };
  }

  #entries(document: Bag): readonly Descriptor[] {
    return this.#list(document, 'manifests', MAX_ENTRIES).map((one, i) => ({
      ...this.#descriptor(one, `its entry ${i + 1}`),
      ...platformOf(one),
    }));
  }

  #object(bytes: Uint8Array): Bag {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      value = undefined;
    }
    if (isBag(value)) return value;
    throw this.#invalid('its manifest is not a JSON object');
  }

  /** What it is by its header, its own word, and its shape. */
  #typeOf(document: Bag, header: string): string {
    const given = (header.split(';')[0] ?? '').trim().toLowerCase();
    const inside = document['mediaType'];
    if (inside !== undefined && typeof inside !== 'string') {
      throw this.#invalid('the mediaType of its manifest is no text');
    }
    if (inside && !GENERIC.has(given) && given !== inside) {
      throw this.#invalid(
        `its manifest came as ${shown(given)} and says that it is ${shown(inside)}`,
      );
    }
    const isIndex = 'manifests' in document;
    const isImage = ['layers', 'config', 'fsLayers'].some((key) => key in document);
    if (isIndex && isImage) throw this.#invalid('its manifest is an index as well');
    const byShape = isIndex ? MEDIA_TYPES.index : MEDIA_TYPES.manifest;
    const type = inside || (GENERIC.has(given) ? byShape : given);
    if ((INDEXES.has(type) && isImage) || (MANIFESTS.has(type) && isIndex)) {
      throw this.#invalid(`its manifest is not what it is said to be, ${shown(type)}`);
    }
    return type;
  }

  #list(document: Bag, key: string, most: number): readonly unknown[] {
    const list = document[key];
    if (!Array.isArray(list)) throw this.#invalid(`its manifest has no list of ${key}`);
    if (list.length > most) throw this.#invalid(`it has ${list.length} ${key}`);
    return list;
  }

  /** Checked before it becomes a path, a URL or a length. */
  #descriptor(value: unknown, what: string): Descriptor {
    const { mediaType, digest, size, annotations } = isBag(value) ? value : {};
    if (typeof digest === 'string' && /^sha(?:384|512):[0-9a-f]{96,128}$/.test(digest)) {
      throw this.#unsupported(`the digest of ${what} is ${digest.slice(0, 6)}, not sha256`);
    }
    if (!isDigest(digest)) throw this.#invalid(`the digest of ${what} is none`);
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw this.#invalid(`the size of ${what} is no whole number`);
    }
    if (typeof mediaType !== 'string') throw this.#invalid(`${what} has no mediaType`);
    return { mediaType, digest, size, ...annotationsOf(annotations) };
  }

  #invalid(reason: string): CaissonError<'ERR_IMAGE_INVALID'> {
    return new CaissonError('ERR_IMAGE_INVALID', { reference: this.#reference, reason });
  }

  #unsupported(reason: string): CaissonError<'ERR_UNSUPPORTED'> {
    const what = `the image ${JSON.stringify(this.#reference)}`;
    return new CaissonError('ERR_UNSUPPORTED', { what, reason });
  }
}

function platformOf(value: unknown): Pick<Descriptor, 'platform'> {
  const { os, architecture, variant } = bagOf(bagOf(value)['platform']);
  if (typeof os !== 'string' || typeof architecture !== 'string') return {};
  return { platform: { os, architecture, ...(isText(variant) && { variant }) } };
}

function annotationsOf(value: unknown): Pick<Descriptor, 'annotations'> {
  if (!isBag(value)) return {};
  const texts = Object.entries(value).filter(
    (one): one is [string, string] => typeof one[1] === 'string',
  );
  return { annotations: Object.fromEntries(texts) };
}

const isBag = (value: unknown): value is Bag =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const bagOf = (value: unknown): Bag => (isBag(value) ? value : {});
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const shown = (text: string): string => JSON.stringify(text.slice(0, 100));
