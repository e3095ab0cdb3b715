import { CaissonError } from '../errors/index.js';
import { hexOf } from '../store/digest.js';
import {
  BLOB_ABSENT,
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
  dateOf,
  parseImageDocument,
  parseImageManifest,
  type Document,
  type ImageDocument,
} from './documents.js';
import { familiar } from '../registry/reference.js';

/** In the index: where the layers are, lowest first, when they are not named by their diffIDs. */
const LAYERS = 'dev.caisson.layers';
/** In the index: how many of the lowest layers show nothing, as one above hides all of them. */
const HIDDEN = 'dev.caisson.hidden';
/** In the index: what it was pulled or pushed as, by digest; several parted by spaces. */
const SOURCE = 'dev.caisson.source';
/** In the index: size of the layers without compression. */
const SIZE = 'dev.caisson.size';

/** One manifest of an image. Docker and OCI describe the same one by two, and its layers may be compressed otherwise. */
export interface ImageForm {
  /** As the index has it. */
  readonly manifest: Descriptor;
  /** Descriptors of the blobs, lowest first. */
  readonly blobs: readonly Descriptor[];
  /** What it was pulled or pushed as, each by digest. */
  readonly sources: readonly string[];
}

/** An image of the store, as the index and its blobs say at one moment. That is its configuration, whatever has it. */
export interface ImageRecord extends ImageForm {
  readonly id: Digest;
  /** All that the store has of it, oldest first; the first one speaks for it. */
  readonly forms: readonly ImageForm[];
  readonly config: ImageConfig;
  readonly platform: Platform;
  readonly document: ImageDocument;
  /** Names of all of its layers below `layers/`, lowest first. */
  readonly keys: readonly string[];
  /** Store-relative, lowest first: those that show something, below them the skeleton. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  readonly created: Date | undefined;
  /** As people write them. */
  readonly tags: readonly string[];
}

/** One that is listed and cannot be read. */
export interface DamagedImage {
  readonly manifest: Descriptor;
  readonly tags: readonly string[];
  readonly error: CaissonError;
}

export interface ListedImages {
  /** In the order of the index: oldest first. */
  readonly images: readonly ImageRecord[];
  readonly damaged: readonly DamagedImage[];
}

/** Every image that can be read. */
export async function listImages(
  store: Store,
  index?: ImageIndex,
): Promise<readonly ImageRecord[]> {
  return (await readImages(store, index)).images;
}

/** Every image that is listed. */
export async function readImages(store: Store, index?: ImageIndex): Promise<ListedImages> {
  const { manifests } = index ?? (await store.images.readIndex());
  const listed = new Map<Digest, { readonly manifest: Descriptor; readonly tags: string[] }>();
  for (const manifest of manifests) {
    const { digest, annotations } = manifest;
    const one = listed.get(digest) ?? { manifest, tags: [] };
    const name = annotations?.[REF_NAME];
    if (name !== undefined) one.tags.push(familiar(name));
    listed.set(digest, one);
  }
  const read = await Promise.all(
    [...listed.values()].map(async (one) => {
      try {
        return await readImage(store, one.manifest, one.tags);
      } catch (error) {
        if (CaissonError.is(error)) return { ...one, error };
        throw error;
      }
    }),
  );
  const images = new Map<Digest, ImageRecord>();
  for (const one of read) {
    if ('error' in one) continue;
    const known = images.get(one.id);
    images.set(one.id, known === undefined ? one : joined(known, one));
  }
  return { images: [...images.values()], damaged: read.filter((one) => 'error' in one) };
}

const joined = (one: ImageRecord, other: ImageRecord): ImageRecord => ({
  ...one,
  forms: [...one.forms, ...other.forms],
  tags: [...one.tags, ...other.tags].sort(),
});

async function readImage(
  store: Store,
  descriptor: Descriptor,
  tags: readonly string[],
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
  const form = { manifest: descriptor, blobs: manifest.layers, sources: sourcesOf(descriptor) };
  return {
    id,
    ...form,
    forms: [form],
    config: document.config,
    platform: document.platform,
    document,
    keys,
    layers: [SKELETON_LAYER, ...stackOf(keys.slice(Number(annotations[HIDDEN] ?? 0)))],
    sizeBytes: Number(
      annotations[SIZE] ?? manifest.layers.reduce((sum, { size }) => sum + size, 0),
    ),
    created: dateOf(document.created ?? annotations[CREATED]),
    tags: tags.toSorted(),
  };
}

/** The image of that id, if it is here and can be read. */
export async function findById(
  store: Store,
  id: Digest,
  index?: ImageIndex,
): Promise<ImageRecord | undefined> {
  return (await listImages(store, index)).find((image) => image.id === id);
}

/** One that comes again counts where it is topmost, as it covers there what it was below; overlay takes none twice. */
const stackOf = (keys: readonly string[]): string[] =>
  keys.filter((key, i) => keys.lastIndexOf(key) === i).map((key) => `layers/${key}`);

const sourcesOf = ({ annotations }: Descriptor): readonly string[] =>
  annotations?.[SOURCE]?.split(' ') ?? [];

/** The exact text of what the store has by this digest. */
export async function storedDocument(
  store: Store,
  { mediaType, digest }: Pick<Descriptor, 'mediaType' | 'digest'>,
): Promise<Document & { readonly bytes: Buffer }> {
  return { mediaType, digest, bytes: await store.images.readDocument(digest) };
}

/**
 * Of a layer's blob; undefined when it has none, and its folder is the only place where it is.
 *
 * @throws {@link CaissonError} `ERR_STORE_CORRUPT` when it should be there
 */
export async function sizeOfBlob(
  { images }: Store,
  { digest, annotations }: Descriptor,
): Promise<number | undefined> {
  const size = await images.blobs.sizeOf(digest);
  if (size !== undefined || annotations?.[BLOB_ABSENT] !== undefined) return size;
  const path = images.blobs.path(digest);
  const hint = "Pull the image again with { policy: 'always' }, or load it again.";
  throw new CaissonError('ERR_STORE_CORRUPT', { path, reason: 'the blob is missing' }, { hint });
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
    const record = await findById(store, config.digest);
    if (record === undefined) throw new Error('an image that was listed is not');
    return record;
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

/** Notes that a repository has it by that digest too. Nothing, where the image has gone meanwhile. */
export async function addSource(store: Store, manifest: Digest, source: string): Promise<void> {
  await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    const before = (await store.images.readIndex()).manifests;
    const manifests = withSource(before, manifest, source);
    if (manifests !== before) await store.images.writeIndex(manifests);
  });
}

/** With one more, unless it is known by that already. */
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
    const image = await findById(store, id, index);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    // One that has the name already keeps it, whichever of its forms that is.
    if (image.tags.includes(familiar(name))) return image.tags;
    const manifests = retag(index.manifests, image.manifest.digest, name);
    await store.images.writeIndex(manifests);
    return [...new Set([...image.tags, familiar(name)])].sort();
  });
}

/**
 * Takes one of its names, a full one, from the image. Returns those that it still has.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND` when it has none such
 */
export async function untagImage(
  store: Store,
  id: Digest,
  name: string,
): Promise<readonly string[]> {
  return await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    const index = await store.images.readIndex();
    const image = await findById(store, id, index);
    const reference = familiar(name);
    if (image?.tags.includes(reference) !== true) {
      throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference });
    }
    await store.images.writeIndex(withoutName(index.manifests, name));
    return image.tags.filter((tag) => tag !== reference);
  });
}

/** One descriptor for each name, or one without a name. */
function retag(
  manifests: readonly Descriptor[],
  manifest: Digest,
  name: string,
): readonly Descriptor[] {
  const model = manifests.find(({ digest }) => digest === manifest);
  if (model === undefined) return manifests;
  const kept = withoutName(manifests, name).filter(
    ({ digest, annotations }) => digest !== manifest || annotations?.[REF_NAME] !== undefined,
  );
  return [...kept, { ...model, annotations: { ...model.annotations, [REF_NAME]: name } }];
}

/** Who has it loses it; who loses its last name stays, nameless. */
function withoutName(manifests: readonly Descriptor[], name: string): readonly Descriptor[] {
  return manifests.flatMap((one) => {
    const { [REF_NAME]: own, ...rest } = one.annotations ?? {};
    if (own !== name) return [one];
    const others = manifests.some((other) => other !== one && other.digest === one.digest);
    return others ? [] : [{ ...one, annotations: rest }];
  });
}

/** `key` or `key=value`. */
export function hasLabel({ Labels = {} }: ImageConfig, label: string): boolean {
  const equals = label.indexOf('=');
  if (equals < 0) return label in Labels;
  return Labels[label.slice(0, equals)] === label.slice(equals + 1);
}
