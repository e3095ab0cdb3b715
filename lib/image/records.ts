import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { hexOf } from '../store/digest.js';
import {
  CREATED,
  REF_NAME,
  type Descriptor,
  type Digest,
  type ImageIndex,
  type Platform,
} from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { SKELETON_LAYER, type Store } from '../store/store.js';
import type { ImageConfig } from './config.js';
import {
  parseImageDocument,
  parseImageManifest,
  type Document,
  type ImageDocument,
} from './documents.js';
import { choosePlatform } from '../registry/platform.js';
import { familiar, formatReference, readReference, type Reference } from '../registry/reference.js';

/** In the index: where the layers are, lowest first, when they are not named by their diffIDs. */
const LAYERS = 'dev.caisson.layers';
/** In the index: how many of the lowest layers show nothing, as one above hides all of them. */
const HIDDEN = 'dev.caisson.hidden';
/** In the index: what it was pulled as, by digest; several parted by spaces. */
const SOURCE = 'dev.caisson.source';
/** In the index: size of the layers without compression. */
const SIZE = 'dev.caisson.size';

/** An image of the store, as the index and its blobs say at one moment. */
export interface ImageRecord {
  readonly id: Digest;
  /** As the index has it. */
  readonly manifest: Descriptor;
  readonly config: ImageConfig;
  readonly platform: Platform;
  readonly document: ImageDocument;
  /** Descriptors of the blobs, lowest first. */
  readonly blobs: readonly Descriptor[];
  /** Names of all of its layers below `layers/`, lowest first. */
  readonly keys: readonly string[];
  /** Store-relative, lowest first: those that show something, below them the skeleton. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  readonly created: Date | undefined;
  /** What it was pulled as, each by digest. */
  readonly sources: readonly string[];
  /** As people write them. */
  readonly tags: readonly string[];
}

/** Every image, in the order of the index: oldest first. */
export async function listImages(store: Store, index?: ImageIndex): Promise<ImageRecord[]> {
  const { manifests } = index ?? (await store.images.readIndex());
  const found = new Map<Digest, { readonly descriptor: Descriptor; readonly tags: string[] }>();
  for (const descriptor of manifests) {
    const { digest, annotations } = descriptor;
    const image = found.get(digest) ?? { descriptor, tags: [] };
    const name = annotations?.[REF_NAME];
    if (name !== undefined) image.tags.push(familiar(name));
    found.set(digest, image);
  }
  const images = [...found.values()];
  return await Promise.all(images.map((one) => readImage(store, one.descriptor, one.tags)));
}

async function readImage(
  store: Store,
  descriptor: Descriptor,
  tags: string[],
): Promise<ImageRecord> {
  const { mediaType, digest, annotations = {} } = descriptor;
  const manifest = await store.images.read(digest, (bytes) =>
    parseImageManifest({ mediaType, bytes }, digest),
  );
  const id = manifest.config.digest;
  const document = await store.images.read(id, (bytes) =>
    parseImageDocument(bytes, manifest.layers.length, digest),
  );
  const keys = annotations[LAYERS]?.split(',') ?? document.diffIds.map(hexOf);
  const created = document.created ?? annotations[CREATED];
  return {
    id,
    manifest: descriptor,
    config: document.config,
    platform: document.platform,
    document,
    blobs: manifest.layers,
    keys,
    layers: [SKELETON_LAYER, ...stackOf(keys.slice(Number(annotations[HIDDEN] ?? 0)))],
    sizeBytes: Number(
      annotations[SIZE] ?? manifest.layers.reduce((sum, { size }) => sum + size, 0),
    ),
    created: created === undefined ? undefined : new Date(created),
    sources: sourcesOf(descriptor),
    tags: tags.sort(),
  };
}

/** One that comes again counts where it is topmost, as it covers there what it was below; overlay takes none twice. */
const stackOf = (keys: readonly string[]): string[] =>
  keys.filter((key, i) => keys.lastIndexOf(key) === i).map((key) => `layers/${key}`);

const sourcesOf = ({ annotations }: Descriptor): readonly string[] =>
  annotations?.[SOURCE]?.split(' ') ?? [];

/**
 * By name, id, or the beginning of an id (with or without `sha256:`).
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`
 */
export async function findImage(store: Store, reference: string): Promise<ImageRecord> {
  const name = readReference(reference);
  const named = name === undefined ? undefined : await findByReference(store, name);
  if (named !== undefined) return named;
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(reference)?.[1];
  const images = hex === undefined ? [] : await listImages(store);
  const matches = images.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  const [first] = matches;
  if (first === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference });
  if (matches.length > 1) {
    throw invalid('ref', `${JSON.stringify(reference)} begins ${matches.length} image ids`);
  }
  return first;
}

/** The image of that name or digest that is here, for the platform where one is said. */
export async function findByReference(
  store: Store,
  reference: Reference,
  platform?: Platform,
): Promise<ImageRecord | undefined> {
  const { domain, path, digest, tag } = reference;
  const repository = formatReference({ domain, path });
  const name = familiar(`${repository}:${tag ?? ''}`);
  return (await listImages(store)).find((image) => {
    if (platform !== undefined && !runsOn(image.platform, platform)) return false;
    if (digest === undefined) return tag !== undefined && image.tags.includes(name);
    return image.sources.some(
      (source) =>
        source === `${repository}@${digest}` ||
        (image.manifest.digest === digest && source.startsWith(`${repository}@`)),
    );
  });
}

const runsOn = (platform: Platform, wanted: Platform): boolean =>
  choosePlatform([{ platform }], wanted) !== undefined;

/** The exact text of what the store has by this digest. */
export async function storedDocument(
  store: Store,
  { mediaType, digest }: Pick<Descriptor, 'mediaType' | 'digest'>,
): Promise<Document & { readonly bytes: Buffer }> {
  return { mediaType, digest, bytes: await store.images.readDocument(digest) };
}

export interface NewImage {
  readonly manifest: Document;
  readonly config: Document;
  /** Of the layers, lowest first. */
  readonly keys: readonly string[];
  /** How many of the lowest show nothing. */
  readonly hidden?: number;
  /** Without compression. */
  readonly sizeBytes: number;
  /** Full names that it gets; who has one loses it. */
  readonly names: readonly string[];
  /** What it was pulled as: `docker.io/library/alpine@sha256:…`, which may be the digest of an index. */
  readonly source?: string;
}

/** Writes the documents of an image whose blobs and layers are there, and lists it. Holds IMAGES_LOCK itself. */
export async function addImage(
  store: Store,
  image: NewImage,
  /** Runs under the lock, before the image is listed. */
  place: () => Promise<void> = () => Promise.resolve(),
): Promise<ImageRecord> {
  const { manifest, config } = image;
  const { layers } = parseImageManifest(manifest, manifest.digest);
  const { platform, diffIds } = parseImageDocument(config.bytes, layers.length, manifest.digest);
  return await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    await place();
    await store.images.putDocument(config.digest, config.bytes);
    await store.images.putDocument(manifest.digest, manifest.bytes);
    const before = (await store.images.readIndex()).manifests;
    const isIt = ({ digest }: Descriptor): boolean => digest === manifest.digest;
    let manifests = before.some(isIt)
      ? withSource(before, manifest.digest, image.source)
      : [...before, listed(image, platform, diffIds)];
    for (const name of image.names) manifests = retag(manifests, manifest.digest, name);
    if (manifests !== before) await store.images.writeIndex(manifests);
    const own = manifests.filter(isIt);
    const tags = own.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? []);
    return await readImage(store, own[0] as Descriptor, tags.map(familiar));
  });
}

/** One that is new in the index, still without a name. */
function listed(
  { manifest, keys, hidden = 0, sizeBytes, source }: NewImage,
  platform: Platform,
  diffIds: readonly Digest[],
): Descriptor {
  const named = keys.every((key, i) => key === hexOf(diffIds[i] ?? 'sha256:'));
  return {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform,
    annotations: {
      [CREATED]: new Date().toISOString(),
      [SIZE]: String(sizeBytes),
      ...(named ? {} : { [LAYERS]: keys.join(',') }),
      ...(hidden > 0 ? { [HIDDEN]: String(hidden) } : {}),
      ...(source === undefined ? {} : { [SOURCE]: source }),
    },
  };
}

/** It is there already, and was pulled as this too. */
function withSource(
  manifests: readonly Descriptor[],
  manifest: Digest,
  source: string | undefined,
): readonly Descriptor[] {
  const model = manifests.find(({ digest }) => digest === manifest);
  if (source === undefined || model === undefined || sourcesOf(model).includes(source)) {
    return manifests;
  }
  const sources = [...sourcesOf(model), source].join(' ');
  return manifests.map((one) =>
    one.digest === manifest
      ? { ...one, annotations: { ...one.annotations, [SOURCE]: sources } }
      : one,
  );
}

/** Gives the image one more name; another image that had it loses it. Returns its names. */
export async function tagImage(
  store: Store,
  id: Digest,
  /** Full name. */
  name: string,
): Promise<readonly string[]> {
  return await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    const index = await store.images.readIndex();
    const image = (await listImages(store, index)).find((one) => one.id === id);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    const manifests = retag(index.manifests, image.manifest.digest, name);
    await store.images.writeIndex(manifests);
    return [...new Set([...image.tags, familiar(name)])].sort();
  });
}

/** One descriptor for each name, or one without a name. */
function retag(
  manifests: readonly Descriptor[],
  manifest: Digest,
  name: string,
): readonly Descriptor[] {
  const model = manifests.find(({ digest }) => digest === manifest);
  const kept = manifests.flatMap((one) => {
    const annotations = { ...one.annotations };
    const own = annotations[REF_NAME];
    if (one.digest === manifest) return own === undefined || own === name ? [] : [one];
    if (own !== name) return [one];
    // Who loses its last name stays, nameless.
    const others = manifests.some((other) => other !== one && other.digest === one.digest);
    if (others) return [];
    const { [REF_NAME]: _lost, ...rest } = annotations;
    return [{ ...one, annotations: rest }];
  });
  if (model === undefined) return kept;
  return [...kept, { ...model, annotations: { ...model.annotations, [REF_NAME]: name } }];
}

/** `key` or `key=value`. */
export function hasLabel({ Labels = {} }: ImageConfig, label: string): boolean {
  const equals = label.indexOf('=');
  if (equals < 0) return label in Labels;
  return Labels[label.slice(0, equals)] === label.slice(equals + 1);
}
