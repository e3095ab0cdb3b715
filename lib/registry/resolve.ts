import { CaissonError } from '../errors/index.js';
import type { Descriptor, Platform } from '../store/images.js';
import type { FetchedManifest, RegistryClient } from './client.js';
import { isIndexType } from '../store/documents.js';
import { parseManifest, type ImageManifest, type ManifestIndex } from './manifest.js';
import { choosePlatform, formatPlatform, normalizePlatform } from './platform.js';

/** An index may name indexes, each of which is asked for. */
const MAX_DEPTH = 4;
const MAX_DOCUMENTS = 32;

export interface ResolvedManifest {
  readonly manifest: FetchedManifest;
  readonly image: ImageManifest;
  /** What the reference named itself: the image's manifest, or an index that has it. */
  readonly named: FetchedManifest;
}

/**
 * The manifest of one image: of what the reference names, the one for `platform`.
 *
 * @throws {@link CaissonError} as {@link RegistryClient.manifest}; `ERR_PLATFORM_NOT_FOUND`; `ERR_IMAGE_INVALID`;
 * `ERR_UNSUPPORTED` for an artifact
 */
export async function resolveManifest(
  client: RegistryClient,
  repository: string,
  reference: string,
  platform: Platform,
  signal?: AbortSignal,
): Promise<ResolvedManifest> {
  const named = await client.manifest(repository, reference, { signal });
  const name = `${client.domain}/${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
  let left = MAX_DOCUMENTS;
  const endless = (): CaissonError =>
    new CaissonError('ERR_IMAGE_INVALID', {
      reference: name,
      reason: 'its index leads to indexes without end',
    });
  const resolve = async (manifest: FetchedManifest, depth: number): Promise<ResolvedManifest> => {
    const document = parseManifest(manifest, name);
    if (document.kind === 'image') return { manifest, image: document, named };
    if (depth === MAX_DEPTH) throw endless();
    const [first, ...others] = candidates(document, platform, name);
    for (const entry of [first, ...others]) {
      if (left-- === 0) throw endless();
      const found = await client.manifest(repository, entry.digest, { signal });
      try {
        const mediaType = found.mediaType || entry.mediaType;
        return await resolve({ ...found, mediaType }, depth + 1);
      } catch (error) {
        // Another index may have it.
        const last = entry === (others.at(-1) ?? first);
        if (last || !CaissonError.is(error, 'ERR_PLATFORM_NOT_FOUND')) throw error;
      }
    }
    throw endless();
  };
  return await resolve(named, 0);
}

/** The one for `platform`; where there is none, indexes that do not say for which they are; or what is there alone. */
function candidates(
  index: ManifestIndex,
  platform: Platform,
  reference: string,
): readonly [Descriptor, ...Descriptor[]] {
  try {
    return [chooseEntry(index, platform, reference)];
  } catch (error) {
    const [first, ...others] = index.manifests.filter(
      (one) => one.platform === undefined && isIndexType(one.mediaType),
    );
    if (first === undefined) throw error;
    return [first, ...others];
  }
}

/** The one for `platform`; what has none, where there is nothing else. @throws `ERR_PLATFORM_NOT_FOUND` */
export function chooseEntry(
  { manifests }: ManifestIndex,
  platform: Platform,
  reference: string,
): Descriptor {
  const known = manifests.filter(hasPlatform);
  const chosen = choosePlatform(known, platform);
  if (chosen !== undefined) return chosen;
  const [only] = manifests;
  if (manifests.length === 1 && only !== undefined && only.platform === undefined) return only;
  // Attestations call themselves unknown.
  const available = known
    .map((one) => formatPlatform(normalizePlatform(one.platform)))
    .filter((one) => !one.startsWith('unknown'));
  throw new CaissonError('ERR_PLATFORM_NOT_FOUND', {
    reference,
    platform: formatPlatform(platform),
    available: [...new Set(available)],
  });
}

const hasPlatform = (one: Descriptor): one is Descriptor & { readonly platform: Platform } =>
  one.platform !== undefined;
