import { CaissonError } from '../errors/index.js';
import { digestOf } from '../store/digest.js';
import { parseManifest, type ImageManifest } from '../registry/manifest.js';
import { isBag, parseConfig, type Bag } from '../store/documents.js';
import {
  BLOB_ABSENT,
  MEDIA_TYPES,
  type Descriptor,
  type Digest,
  type Platform,
} from '../store/images.js';
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

/** Of a layer without a blob: its archive can be made of its folder at any time. */
export const folderDescriptor = (diffId: Digest, tarBytes: number): Descriptor => ({
  mediaType: MEDIA_TYPES.layerTar,
  digest: diffId,
  size: tarBytes,
  annotations: { [BLOB_ABSENT]: 'true' },
});

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
  const invalid = (reason: string): CaissonError =>
    new CaissonError('ERR_IMAGE_INVALID', { reference, reason: `of its configuration: ${reason}` });
  const { platform, diffIds, bag: value } = parseConfig(bytes, invalid);
  if (diffIds.length !== layers) {
    throw invalid(`it has ${diffIds.length} diff_ids, the image ${layers} layers`);
  }
  const { created, author } = value;
  return {
    platform,
    ...(typeof created === 'string' ? { created } : {}),
    ...(typeof author === 'string' ? { author } : {}),
    config: configOf(value['config']),
    diffIds,
    history: Array.isArray(value['history']) ? value['history'].filter(isBag).map(entryOf) : [],
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
