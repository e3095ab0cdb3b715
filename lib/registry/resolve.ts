import { CaissonError } from '../errors/index.js';
import type { Descriptor, Platform } from '../store/images.js';
import type { FetchedManifest, RegistryClient } from './client.js';
import { parseManifest, type ImageManifest, type ManifestIndex } from './manifest.js';
import { choosePlatform, formatPlatform } from './platform.js';

/** An index may name indexes. */
const MAX_DEPTH = 4;

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
  const name = `${client.domain}/${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
  const named = await client.manifest(repository, reference, { signal });
  let manifest = named;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const document = parseManifest(manifest, name);
    if (document.kind === 'image') return { manifest, image: document, named };
    const { digest } = chooseEntry(document, platform, name);
    manifest = await client.manifest(repository, digest, { signal });
  }
  throw new CaissonError('ERR_IMAGE_INVALID', {
    reference: name,
    reason: 'its index leads to indexes without end',
  });
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
    .map((one) => formatPlatform(one.platform))
    .filter((one) => !one.startsWith('unknown'));
  throw new CaissonError('ERR_PLATFORM_NOT_FOUND', {
    reference,
    platform: formatPlatform(platform),
    available: [...new Set(available)],
  });
}

const hasPlatform = (one: Descriptor): one is Descriptor & { readonly platform: Platform } =>
  one.platform !== undefined;
