import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { choosePlatform, formatPlatform, normalizePlatform } from '../registry/platform.js';
import { familiar, formatReference, readReference, type Reference } from '../registry/reference.js';
import { BLOB_ABSENT, type Digest, type Platform } from '../store/images.js';
import type { Store } from '../store/store.js';
import {
  listImages,
  readImages,
  type DamagedImage,
  type ImageForm,
  type ImageRecord,
  type ListedImages,
} from './records.js';

/**
 * By name, id, or the beginning of an id (with or without `sha256:`).
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`; `ERR_STORE_CORRUPT` when the one of that name cannot be read
 */
export async function findImage(store: Store, reference: string): Promise<ImageRecord> {
  const found = findAmong(await readImages(store), reference);
  if ('error' in found) throw found.error;
  return found;
}

/** As findImage. */
export function findAmong(
  { images, damaged }: ListedImages,
  reference: string,
): ImageRecord | DamagedImage {
  const name = readReference(reference);
  const named = name === undefined ? undefined : images.find((one) => isNamed(one, name));
  if (named !== undefined) return named;
  const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(reference)?.[1];
  const matches =
    hex === undefined ? [] : images.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  if (matches.length > 1) {
    throw invalid('ref', `${JSON.stringify(reference)} begins ${matches.length} image ids`);
  }
  const broken = name && damaged.find(({ tags }) => tags.includes(familiarOf(name)));
  const found = matches[0] ?? broken;
  if (found === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference });
  return found;
}

/** The image of that name or digest that is here and can be read, for the platform where one is said. */
export async function findByReference(
  store: Store,
  reference: Reference,
  platform?: Platform,
): Promise<ImageRecord | undefined> {
  return (await listImages(store)).find(
    (image) =>
      (platform === undefined || runsOn(image.platform, platform)) && isNamed(image, reference),
  );
}

function isNamed({ tags, forms }: ImageRecord, reference: Reference): boolean {
  const { domain, path, digest, tag } = reference;
  if (digest === undefined) return tag !== undefined && tags.includes(familiarOf(reference));
  const repository = formatReference({ domain, path });
  return forms.some((form) => isKnownAs(form, repository, digest));
}

/** Whether that repository had it by that digest, its own or that of an index. */
export const isKnownAs = (
  { manifest, sources }: ImageForm,
  repository: string,
  digest: Digest,
): boolean =>
  sources.includes(`${repository}@${digest}`) ||
  (manifest.digest === digest && isFrom(sources, repository));

const isFrom = (sources: readonly string[], repository: string): boolean =>
  sources.some((source) => source.startsWith(`${repository}@`));

/** What is here of a repository for exactly that platform, with descriptors of blobs that it has too. */
export async function formsFrom(
  store: Store,
  repository: string,
  platform: Platform,
): Promise<readonly ImageForm[]> {
  const wanted = formatPlatform(platform);
  return (await listImages(store))
    .filter((image) => formatPlatform(normalizePlatform(image.platform)) === wanted)
    .flatMap(({ forms }) => forms)
    .filter(({ sources }) => isFrom(sources, repository))
    .filter(({ blobs }) =>
      blobs.every(({ annotations }) => annotations?.[BLOB_ABSENT] === undefined),
    );
}

const familiarOf = ({ domain, path, tag = '' }: Reference): string =>
  familiar(`${formatReference({ domain, path })}:${tag}`);

const runsOn = (platform: Platform, wanted: Platform): boolean =>
  choosePlatform([{ platform }], wanted) !== undefined;
