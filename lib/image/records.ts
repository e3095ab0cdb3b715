import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import {
  CREATED,
  MEDIA_TYPES,
  REF_NAME,
  type Descriptor,
  type Digest,
  type ImageIndex,
} from '../store/images.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { SKELETON_LAYER, type Store } from '../store/store.js';
import type { ImageConfig } from './config.js';
import { familiar, normalize } from './reference.js';

/** OCI image configuration, as far as it is used. */
export interface ImageDocument {
  readonly architecture: string;
  readonly os: string;
  readonly config?: ImageConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
}

export interface ManifestDocument {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** An image of the store, as the index and its blobs say at one moment. */
export interface ImageRecord {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly config: ImageConfig;
  /** Store-relative, lowest first, the skeleton before the image's own. */
  readonly layers: readonly string[];
  readonly sizeBytes: number;
  /** As people write them. */
  readonly tags: readonly string[];
}

/** Every image, in the order of the index: oldest first. */
export async function listImages(store: Store, index?: ImageIndex): Promise<ImageRecord[]> {
  const { manifests } = index ?? (await store.images.readIndex());
  const tags = new Map<Digest, string[]>();
  for (const { digest, annotations } of manifests) {
    const names = tags.get(digest) ?? [];
    const name = annotations?.[REF_NAME];
    if (name !== undefined) names.push(familiar(name));
    tags.set(digest, names);
  }
  return await Promise.all([...tags].map(([manifest, names]) => readImage(store, manifest, names)));
}

async function readImage(store: Store, manifest: Digest, tags: string[]): Promise<ImageRecord> {
  const document = (await store.images.readBlob(manifest)) as ManifestDocument;
  const id = document.config.digest;
  const image = (await store.images.readBlob(id)) as ImageDocument;
  return {
    id,
    manifest,
    config: image.config ?? {},
    layers: [SKELETON_LAYER, ...image.rootfs.diff_ids.map(layerFolder)],
    sizeBytes: document.layers.reduce((sum, { size }) => sum + size, 0),
    tags: tags.sort(),
  };
}

/** Store-relative folder of a layer. */
export const layerFolder = (diffId: Digest): string => `layers/${diffId.slice('sha256:'.length)}`;

/**
 * By name, id, or the beginning of an id (with or without `sha256:`).
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`
 */
export async function findImage(store: Store, reference: string): Promise<ImageRecord> {
  const images = await listImages(store);
  const name = normalize(reference);
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(reference)?.[1];
  const named =
    name === undefined ? undefined : images.find(({ tags }) => tags.includes(familiar(name)));
  if (named !== undefined) return named;
  const matches =
    hex === undefined ? [] : images.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  const [first] = matches;
  if (first === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference });
  if (matches.length > 1) {
    throw invalid('ref', `${JSON.stringify(reference)} begins ${matches.length} image ids`);
  }
  return first;
}

/** Writes the documents of an image and lists it, unless it is there. Holds IMAGES_LOCK itself. */
export async function addImage(
  store: Store,
  document: ImageDocument,
  layers: readonly Descriptor[],
  /** Runs under the lock, before the image is listed: puts its layers in place. */
  place: () => Promise<void>,
): Promise<ImageRecord> {
  return await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    await place();
    const config = await store.images.putJson(MEDIA_TYPES.config, document);
    const manifest: ManifestDocument = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config,
      layers,
    };
    const descriptor = await store.images.putJson(MEDIA_TYPES.manifest, manifest);
    const { manifests } = await store.images.readIndex();
    if (!manifests.some(({ digest }) => digest === descriptor.digest)) {
      const { architecture, os } = document;
      const annotations = { [CREATED]: new Date().toISOString() };
      await store.images.writeIndex([
        ...manifests,
        { ...descriptor, platform: { architecture, os }, annotations },
      ]);
    }
    const tags = manifests
      .filter(({ digest }) => digest === descriptor.digest)
      .flatMap(({ annotations }) => annotations?.[REF_NAME] ?? []);
    return await readImage(store, descriptor.digest, tags.map(familiar));
  });
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
    const manifests = retag(index.manifests, image.manifest, name);
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
