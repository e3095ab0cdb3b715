// The documents of images as other people wrote them: nothing is believed before it was looked at, and what is not used
// is passed over, as the image specification has it.
import { isDigest } from './digest.js';
import {
  DOCKER_MEDIA_TYPES,
  MEDIA_TYPES,
  type Descriptor,
  type Digest,
  type Platform,
} from './images.js';

/** Makes the error of whoever reads the document. `'no-image'`: it may be good, but it is nothing that runs here. */
export type Refuse = (reason: string, why: 'invalid' | 'no-image') => Error;

/** Of an index, a manifest, a configuration: what registries allow too. */
export const MAX_DOCUMENT_BYTES = 4 << 20;
/** How many of each a document may name. */
const MAX_MANIFESTS = 4096;
/** Kubernetes' largest images have some dozens; overlay takes a few hundred. */
export const MAX_LAYERS = 1024;

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

export interface ConfigDocument {
  readonly platform: Platform;
  readonly diffIds: readonly Digest[];
  /** All of it. */
  readonly bag: Bag;
}

export type Bag = Readonly<Record<string, unknown>>;

export const isIndexType = (type: string): boolean =>
  type === MEDIA_TYPES.index || type === DOCKER_MEDIA_TYPES.index;
export const isManifestType = (type: string): boolean =>
  type === MEDIA_TYPES.manifest || type === DOCKER_MEDIA_TYPES.manifest;
const isConfigType = (type: string): boolean =>
  type === MEDIA_TYPES.config || type === DOCKER_MEDIA_TYPES.config;
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;
/** What servers that know nothing of images call everything. */
const GENERIC: ReadonlySet<string> = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

/**
 * An image's manifest or index (Docker: manifest list). One document is one type: what came with it, what it says and what
 * it holds must agree: who checks it and who uses it might read it differently (CVE-2021-41190).
 *
 * @param mediaType - What it was announced as, or empty.
 */
export function parseManifest(
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: Uint8Array },
  refuse: Refuse,
): ImageManifest | ManifestIndex {
  const document = bagOf(parseJson(bytes, refuse), 'it', refuse);
  const type = typeOf(document, mediaType, refuse);
  if (SCHEMA_1.test(type) || document['schemaVersion'] === 1) {
    const reason = 'it is of schema 1, from before 2016: its owner can push it again';
    throw refuse(reason, 'no-image');
  }
  if (document['schemaVersion'] !== 2) throw refuse('its schemaVersion is not 2', 'invalid');
  if (isIndexType(type)) {
    const manifests = listIn(document, 'manifests', MAX_MANIFESTS, refuse);
    return {
      kind: 'index',
      mediaType: type,
      manifests: manifests.map((one, i) => parseDescriptor(one, `manifests[${i}]`, refuse)),
    };
  }
  if (!isManifestType(type)) throw refuse(`it is of the type ${shown(type)}`, 'no-image');
  if ('fsLayers' in document) throw refuse('it has fsLayers, as those of schema 1', 'invalid');

  const config = parseDescriptor(document['config'], 'config', refuse);
  const artifact = document['artifactType'];
  if (!isConfigType(config.mediaType) || isText(artifact)) {
    const what = shown(isText(artifact) ? artifact : config.mediaType);
    throw refuse(`it is an artifact of the type ${what}, not an image`, 'no-image');
  }
  const layers = listIn(document, 'layers', MAX_LAYERS, refuse);
  return {
    kind: 'image',
    mediaType: type,
    config,
    layers: layers.map((one, i) => parseDescriptor(one, `layers[${i}]`, refuse)),
  };
}

/** What it is by what it was announced as, its own word, and its shape. */
function typeOf(document: Bag, announced: string, refuse: Refuse): string {
  const given = (announced.split(';')[0] ?? '').trim().toLowerCase();
  const inside = document['mediaType'];
  if (inside !== undefined && typeof inside !== 'string') {
    throw refuse('its mediaType is no text', 'invalid');
  }
  if (inside && !GENERIC.has(given) && given !== inside) {
    throw refuse(`it came as ${shown(given)} and says that it is ${shown(inside)}`, 'invalid');
  }
  const isIndex = 'manifests' in document;
  const isImage = ['layers', 'config', 'fsLayers'].some((key) => key in document);
  if (isIndex && isImage) throw refuse('it is an index and an image as well', 'invalid');
  const type =
    inside || (GENERIC.has(given) ? (isIndex ? MEDIA_TYPES.index : MEDIA_TYPES.manifest) : given);
  if ((isIndexType(type) && isImage) || (isManifestType(type) && isIndex)) {
    throw refuse(`it is not what it is said to be, ${shown(type)}`, 'invalid');
  }
  return type;
}

/** Checked before it becomes a path, a URL or a length. */
function parseDescriptor(value: unknown, what: string, refuse: Refuse): Descriptor {
  const { mediaType, digest, size, annotations, platform } = isBag(value) ? value : {};
  if (typeof digest === 'string' && /^sha(?:384|512):[0-9a-f]{96,128}$/.test(digest)) {
    throw refuse(`the digest of ${what} is ${digest.slice(0, 6)}, not sha256`, 'no-image');
  }
  if (!isDigest(digest)) throw refuse(`${what} has no digest like sha256:<64 digits>`, 'invalid');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw refuse(`the size of ${what} is no whole number`, 'invalid');
  }
  if (typeof mediaType !== 'string') throw refuse(`${what} has no mediaType`, 'invalid');
  return { mediaType, digest, size, ...annotationsOf(annotations), ...platformIn(platform) };
}

function annotationsOf(value: unknown): Pick<Descriptor, 'annotations'> {
  if (!isBag(value)) return {};
  const texts = Object.entries(value).filter(
    (one): one is [string, string] => typeof one[1] === 'string',
  );
  return { annotations: Object.fromEntries(texts) };
}

function platformIn(value: unknown): Pick<Descriptor, 'platform'> {
  const { os, architecture, variant } = isBag(value) ? value : {};
  if (typeof os !== 'string' || typeof architecture !== 'string') return {};
  return { platform: { os, architecture, ...(isText(variant) && { variant }) } };
}

/** An image's configuration, as far as it says what the image is made of. Its id is the digest of these bytes. */
export function parseConfig(bytes: Uint8Array, refuse: Refuse): ConfigDocument {
  const bag = bagOf(parseJson(bytes, refuse), 'it', refuse);
  const { type = 'layers', diff_ids } = bagOf(bag['rootfs'], 'its rootfs', refuse);
  if (type !== 'layers') throw refuse('its rootfs is not made of layers', 'invalid');
  const diffIds = listOf(diff_ids, 'its diff_ids', MAX_LAYERS, refuse);
  if (!diffIds.every(isDigest)) {
    throw refuse('one of its diff_ids is not like sha256:<64 digits>', 'invalid');
  }
  // Whoever left them out meant what everybody had then.
  const { os = 'linux', architecture = 'unknown', variant } = bag;
  if (typeof os !== 'string' || typeof architecture !== 'string') {
    throw refuse('it does not say for which os and architecture it is', 'invalid');
  }
  return { platform: { os, architecture, ...(isText(variant) && { variant }) }, diffIds, bag };
}

export function parseJson(bytes: Uint8Array, refuse: Refuse): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    throw refuse('it is not JSON', 'invalid');
  }
}

export function bagOf(value: unknown, what: string, refuse: Refuse): Bag {
  if (isBag(value)) return value;
  throw refuse(`${what} is not an object`, 'invalid');
}

function listIn(document: Bag, key: string, most: number, refuse: Refuse): unknown[] {
  if (key in document) return listOf(document[key], key, most, refuse);
  throw refuse(`it has no list of ${key}`, 'invalid');
}

/** Go writes null for an empty list. */
export function listOf(value: unknown, what: string, most: number, refuse: Refuse): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw refuse(`${what} is not a list`, 'invalid');
  if (value.length > most) throw refuse(`${what} has more than ${most} entries`, 'invalid');
  return value as unknown[];
}

export const isBag = (value: unknown): value is Bag =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const shown = (text: string): string => JSON.stringify(text.slice(0, 100));
