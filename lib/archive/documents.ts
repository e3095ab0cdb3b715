// The documents of an image as other people wrote them: nothing is believed before it was looked at, and what is
// not used is passed over, as the image specification has it.
import type { Descriptor, Digest, Platform } from '../store/images.js';
import { isDigest } from '../store/digest.js';
import { isConfigType, isIndexType, isManifestType, type DocumentKind } from './media-types.js';

/** Makes the error of whoever reads the document. */
export type Refuse = (reason: string) => Error;

export interface IndexDocument {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

export interface ManifestDocument {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ConfigDocument {
  readonly platform: Platform;
  readonly diffIds: readonly Digest[];
}

type Bag = Readonly<Record<string, unknown>>;

/** Far more than overlayfs can stack, and than any image has. */
const MAX_LAYERS = 1000;
const MAX_MANIFESTS = 1000;

export function parseJson(bytes: Uint8Array, refuse: Refuse): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown;
  } catch {
    throw refuse('it is not JSON');
  }
}

export function bagOf(value: unknown, what: string, refuse: Refuse): Bag {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse(`${what} is not an object`);
  }
  return value as Bag;
}

/** Go writes null for an empty list. */
export function listOf(value: unknown, what: string, most: number, refuse: Refuse): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw refuse(`${what} is not a list`);
  if (value.length > most) throw refuse(`${what} has more than ${most} entries`);
  return value as unknown[];
}

/**
 * An index (Docker: manifest list) or a manifest of an image, whose kind is said by `mediaType`, the type it was
 * announced with. A document that can be read as both is refused: who checks it and who uses it might not agree.
 */
export function parseManifest(
  bytes: Uint8Array,
  mediaType: string,
  refuse: Refuse,
): IndexDocument | ManifestDocument {
  const bag = bagOf(parseJson(bytes, refuse), 'it', refuse);
  if (bag['schemaVersion'] !== 2) throw refuse('its schemaVersion is not 2');
  const own = bag['mediaType'];
  if (own !== undefined && own !== mediaType) {
    throw refuse(`it was announced as ${mediaType} and says that it is another type`);
  }
  const kind: DocumentKind = isIndexType(mediaType) ? 'index' : 'manifest';
  if (kind === 'manifest' && !isManifestType(mediaType)) {
    throw refuse(`it is of the type ${JSON.stringify(mediaType)}`);
  }
  const foreign = kind === 'index' ? ['layers', 'config', 'fsLayers'] : ['manifests', 'fsLayers'];
  const strange = foreign.find((key) => bag[key] !== undefined);
  if (strange !== undefined) throw refuse(`it is an image ${kind} and has ${strange}`);

  if (kind === 'index') {
    const manifests = listOf(bag['manifests'], 'manifests', MAX_MANIFESTS, refuse);
    return {
      kind,
      mediaType,
      manifests: manifests.map((one, i) => parseDescriptor(one, `manifests[${i}]`, refuse)),
    };
  }
  const layers = listOf(bag['layers'], 'layers', MAX_LAYERS, refuse);
  return {
    kind,
    mediaType,
    config: parseDescriptor(bag['config'], 'config', refuse),
    layers: layers.map((one, i) => parseDescriptor(one, `layers[${i}]`, refuse)),
  };
}

export function parseDescriptor(value: unknown, what: string, refuse: Refuse): Descriptor {
  const { mediaType, digest, size, annotations, platform } = bagOf(value, what, refuse);
  if (typeof mediaType !== 'string') throw refuse(`${what} has no mediaType`);
  if (!isDigest(digest)) throw refuse(`${what} has no digest like sha256:<64 digits>`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw refuse(`${what} has no possible size`);
  }
  return {
    mediaType,
    digest,
    size,
    ...(annotations !== undefined &&
      annotations !== null && { annotations: textsOf(annotations, what, refuse) }),
    ...(platform !== undefined &&
      platform !== null && { platform: platformOf(platform, `${what}.platform`, refuse) }),
  };
}

/** Of an image. Its id is the digest of these bytes, whatever else they say. */
export function parseConfig(bytes: Uint8Array, refuse: Refuse): ConfigDocument {
  const bag = bagOf(parseJson(bytes, refuse), 'it', refuse);
  const { type, diff_ids } = bagOf(bag['rootfs'], 'rootfs', refuse);
  if (type !== 'layers') throw refuse('its rootfs is not made of layers');
  const diffIds = listOf(diff_ids, 'rootfs.diff_ids', MAX_LAYERS, refuse);
  if (!diffIds.every(isDigest)) throw refuse('a diff_id of it is not like sha256:<64 digits>');
  // Whoever left them out meant what everybody had then.
  const { os = 'linux', architecture = 'unknown' } = bag;
  return { platform: platformOf({ ...bag, os, architecture }, 'it', refuse), diffIds };
}

function platformOf(value: unknown, what: string, refuse: Refuse): Platform {
  const { os, architecture, variant } = bagOf(value, what, refuse);
  if (typeof os !== 'string' || typeof architecture !== 'string') {
    throw refuse(`${what} does not say for which os and architecture it is`);
  }
  return {
    os,
    architecture,
    ...(typeof variant === 'string' && variant !== '' && { variant }),
  };
}

function textsOf(value: unknown, what: string, refuse: Refuse): Record<string, string> {
  const entries = Object.entries(bagOf(value, `${what}.annotations`, refuse));
  if (!entries.every(([, text]) => typeof text === 'string')) {
    throw refuse(`${what} has an annotation that is no text`);
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

/** Made of signatures, charts, provenance: anything but the root of a container. */
export const isArtifact = ({ config }: ManifestDocument): boolean =>
  !isConfigType(config.mediaType);
