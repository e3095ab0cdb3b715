import { CaissonError } from '../errors/index.js';
import { digestOf, isDigest } from '../store/digest.js';
import { parseManifest, type ImageManifest } from '../registry/manifest.js';
import type { Descriptor, Digest, Platform } from '../store/images.js';
import type { ImageConfig } from './config.js';

/** An exact text, which its digest names. */
export interface Document {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly digest: Digest;
}

/** One entry of an image's history, as its configuration has it. */
export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly comment?: string;
  readonly author?: string;
  readonly emptyLayer: boolean;
}

/** An image's configuration, as far as it is used; whatever it said of a wrong kind is not there. */
export interface ImageDocument {
  readonly platform: Platform;
  readonly created?: string;
  readonly author?: string;
  readonly config: ImageConfig;
  readonly diffIds: readonly Digest[];
  readonly history: readonly HistoryEntry[];
}

/** Undefined for what is none. */
export function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

export const jsonDocument = (mediaType: string, value: unknown): Document =>
  documentOf(mediaType, Buffer.from(JSON.stringify(value)));

export const documentOf = (mediaType: string, bytes: Uint8Array): Document => ({
  mediaType,
  bytes,
  digest: digestOf(bytes),
});

export const descriptorOf = ({ mediaType, digest, bytes }: Document): Descriptor => ({
  mediaType,
  digest,
  size: bytes.length,
});

type Bag = Readonly<Record<string, unknown>>;

const isBag = (value: unknown): value is Bag =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What nobody meant as an image is refused, and why is said. */
class Reader {
  readonly #reference: string;

  /** `reference` is for errors. */
  constructor(reference: string) {
    this.#reference = reference;
  }

  invalid(reason: string): CaissonError {
    return new CaissonError('ERR_IMAGE_INVALID', { reference: this.#reference, reason });
  }

  json(bytes: Uint8Array, what: string): Bag {
    try {
      const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
      if (isBag(value)) return value;
    } catch {
      // Said below.
    }
    throw this.invalid(`its ${what} is not a JSON object`);
  }
}

/**
 * The manifest of one image, not of several.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_INVALID`; `ERR_UNSUPPORTED` for what is no image
 */
export function parseImageManifest(
  given: Pick<Document, 'mediaType' | 'bytes'>,
  reference: string,
): ImageManifest {
  const manifest = parseManifest(given, reference);
  if (manifest.kind === 'image') return manifest;
  const what = `the image ${JSON.stringify(reference)}`;
  throw new CaissonError('ERR_UNSUPPORTED', { what, reason: 'it is an index of images' });
}

/**
 * An image configuration with as many layers as the manifest has.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_INVALID`
 */
export function parseImageDocument(
  bytes: Uint8Array,
  layers: number,
  reference: string,
): ImageDocument {
  const reader = new Reader(reference);
  const value = reader.json(bytes, 'configuration');
  const rootfs = value['rootfs'];
  const diffIds = isBag(rootfs) ? rootfs['diff_ids'] : undefined;
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) {
    throw reader.invalid('its configuration has no diff_ids, or such that are not sha256');
  }
  if (diffIds.length !== layers) {
    throw reader.invalid(`it has ${layers} layers and ${diffIds.length} diff_ids`);
  }
  const { created, author } = value;
  return {
    platform: platformOf(value),
    ...(typeof created === 'string' ? { created } : {}),
    ...(typeof author === 'string' ? { author } : {}),
    config: configOf(value['config']),
    diffIds,
    history: Array.isArray(value['history']) ? value['history'].filter(isBag).map(entryOf) : [],
  };
}

function platformOf({ os, architecture, variant }: Bag): Platform {
  return {
    os: typeof os === 'string' ? os : 'linux',
    architecture: typeof architecture === 'string' ? architecture : 'unknown',
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
  };
}

function entryOf(entry: Bag): HistoryEntry {
  const text = (key: string, name: string): object =>
    typeof entry[key] === 'string' ? { [name]: entry[key] } : {};
  return {
    ...text('created', 'created'),
    ...text('created_by', 'createdBy'),
    ...text('comment', 'comment'),
    ...text('author', 'author'),
    emptyLayer: entry['empty_layer'] === true,
  };
}

/** Labels of ours that an image has of its own accord mean nothing. */
const OWN_LABEL = 'dev.caisson.';

/** What others wrote: of each name what is of the right kind. */
function configOf(value: unknown): ImageConfig {
  if (!isBag(value)) return Object.freeze({});
  const config: Record<string, unknown> = {};
  for (const key of ['User', 'WorkingDir', 'StopSignal']) {
    const text = value[key];
    if (isText(text)) config[key] = text;
  }
  const folder = config['WorkingDir'] as string | undefined;
  // As Docker does.
  if (folder !== undefined && !folder.startsWith('/')) config['WorkingDir'] = `/${folder}`;
  for (const key of ['Env', 'Entrypoint', 'Cmd']) {
    const list = value[key];
    if (Array.isArray(list)) config[key] = Object.freeze(list.filter(isAnyText));
  }
  const env = config['Env'] as readonly string[] | undefined;
  if (env !== undefined) config['Env'] = Object.freeze(env.filter((one) => one.indexOf('=') > 0));
  for (const key of ['ExposedPorts', 'Volumes']) {
    const names = value[key];
    if (!isBag(names)) continue;
    const kept = Object.keys(names).filter(isText);
    config[key] = Object.freeze(Object.fromEntries(kept.map((name) => [name, {}])));
  }
  const labels = value['Labels'];
  if (isBag(labels)) {
    const kept = Object.entries(labels).filter(
      ([name, text]) => name !== '' && !name.startsWith(OWN_LABEL) && isAnyText(text),
    );
    config['Labels'] = Object.freeze(Object.fromEntries(kept));
  }
  return Object.freeze(config);
}

const isAnyText = (value: unknown): value is string =>
  typeof value === 'string' && !value.includes('\0');
const isText = (value: unknown): value is string => isAnyText(value) && value !== '';
