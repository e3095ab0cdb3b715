import { MEDIA_TYPES, REF_NAME, type Descriptor } from '../store/images.js';
import { digestOf } from '../store/digest.js';
import { nameOfBlob } from './digests.js';
import {
  isIndexType,
  isManifestType,
  MAX_DOCUMENT_BYTES,
  parseConfig,
  parseManifest,
  type ImageManifest,
  type ManifestIndex,
} from '../store/documents.js';
import type { ArchivedImage, ArchivedLayer, Verbatim } from './image.js';
import { invalidArchive } from './invalid.js';
import { compressionOfType } from './media-types.js';
import type { Members } from './members.js';

/** One line of an image layout's `index.json`: a name, and what can be had of what it names. */
export interface LayoutEntry {
  readonly descriptor: Descriptor;
  readonly name: string | undefined;
  readonly found: Found;
}

/** What of an image is there whole; where nothing is, why. */
export interface Found {
  readonly images: readonly ArchivedImage[];
  /** Said when there are none. */
  readonly lack?: string;
  /** Nothing is missing: it is something else than an image. */
  readonly isOther?: boolean;
}

/** containerd and Docker write the whole name there. */
const CONTAINERD_NAME = 'io.containerd.image.name';
/** An index in an index is rare, one in that unheard of. */
const MAX_DEPTH = 4;
const MAX_DOCUMENTS = 4096;

/**
 * What an OCI image layout lists.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID`
 */
export async function readLayout(members: Members, index: Buffer): Promise<LayoutEntry[]> {
  const refuse = (reason: string): Error => invalidArchive(reason, 'index.json');
  const document = parseManifest({ mediaType: MEDIA_TYPES.index, bytes: index }, refuse);
  if (document.kind !== 'index') return [];
  const reader = new LayoutReader(members);
  const entries: LayoutEntry[] = [];
  for (const descriptor of document.manifests) {
    const found = await reader.read(descriptor, 0);
    entries.push({ descriptor, name: nameOf(descriptor), found });
  }
  return entries;
}

/** A bare word is a tag of an image that nobody has named: by it alone two images would be called `latest`. */
function nameOf({ annotations }: Descriptor): string | undefined {
  const name = annotations?.[CONTAINERD_NAME] ?? annotations?.[REF_NAME];
  return name !== undefined && /[/:]/.test(name) ? name : undefined;
}

const lacking = (lack: string): Found => ({ images: [], lack });
const other = (what: string): Found => ({
  images: [],
  lack: `it holds no image but ${what}`,
  isOther: true,
});

/** Signatures, charts, provenance: anything but the root of a container. */
class NoImage extends Error {}

function manifestOf(
  document: { readonly mediaType: string; readonly bytes: Buffer },
  name: string,
): ImageManifest | ManifestIndex | NoImage {
  try {
    return parseManifest(document, (reason, why) =>
      why === 'no-image' ? new NoImage(reason) : invalidArchive(reason, name),
    );
  } catch (error) {
    if (error instanceof NoImage) return error;
    throw error;
  }
}

class LayoutReader {
  readonly #members: Members;
  #documents = 0;

  constructor(members: Members) {
    this.#members = members;
  }

  async read(descriptor: Descriptor, depth: number): Promise<Found> {
    const { mediaType, platform, annotations } = descriptor;
    // Provenance lies beside the images that it is about, as one that no platform can run.
    if (platform?.os === 'unknown' || annotations?.['vnd.docker.reference.type'] !== undefined) {
      return other('attestations');
    }
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) {
      return other(JSON.stringify(mediaType));
    }
    const name = nameOfBlob(descriptor);
    const bytes = await this.#document(descriptor);
    // Of several platforms, those that nobody had are left out.
    if (bytes === undefined) return lacking(`${name} is not there`);
    const document = manifestOf({ mediaType, bytes }, name);
    if (document instanceof NoImage) return { images: [], lack: document.message, isOther: true };
    if (document.kind === 'image') return await this.#image(descriptor, bytes, document);

    if (depth === MAX_DEPTH) throw invalidArchive('it is an index in too many others', name);
    const all: Found[] = [];
    for (const one of document.manifests) all.push(await this.read(one, depth + 1));
    const images = all.flatMap((found) => found.images);
    if (images.length > 0) return { images };
    return all.find(({ isOther }) => isOther !== true) ?? all[0] ?? other('an empty index');
  }

  async #image(
    { digest, mediaType }: Descriptor,
    bytes: Buffer,
    document: ImageManifest,
  ): Promise<Found> {
    const name = nameOfBlob(document.config);
    const configBytes = await this.#document(document.config);
    if (configBytes === undefined) return lacking(`${name} is not there`);
    const { diffIds, platform } = parseConfig(configBytes, (reason) =>
      invalidArchive(reason, name),
    );
    // Docker 25.0 wrote manifests without layers; its manifest.json has them.
    if (diffIds.length !== document.layers.length) {
      return lacking(
        `${name} has ${diffIds.length} layers, its manifest ${document.layers.length}`,
      );
    }

    const layers: ArchivedLayer[] = [];
    for (const [i, layer] of document.layers.entries()) {
      const blobName = nameOfBlob(layer);
      if (compressionOfType(layer.mediaType) === undefined) {
        return lacking(`its layer ${blobName} is of the type ${JSON.stringify(layer.mediaType)}`);
      }
      const blob = await this.#members.place(blobName);
      if (blob === undefined) return lacking(`${blobName} is not there`);
      if (blob.size !== layer.size) {
        throw invalidArchive(`it has ${blob.size} bytes and should have ${layer.size}`, blobName);
      }
      const diffId = diffIds[i] as ArchivedLayer['diffId'];
      layers.push({
        name: blobName,
        mediaType: layer.mediaType,
        digest: layer.digest,
        diffId,
        blob,
      });
    }
    const manifest: Verbatim = { mediaType, digest, bytes };
    const config: Verbatim = { ...document.config, bytes: configBytes };
    return { images: [{ platform, manifest, config, layers }] };
  }

  /** One that is what its descriptor says, or undefined when it is not there. */
  async #document({ digest, size }: Descriptor): Promise<Buffer | undefined> {
    const name = nameOfBlob({ digest });
    this.#documents += 1;
    if (this.#documents > MAX_DOCUMENTS) {
      throw invalidArchive(`it names more than ${MAX_DOCUMENTS} documents`, 'index.json');
    }
    if (size > MAX_DOCUMENT_BYTES) throw invalidArchive(`${size} bytes are no document`, name);
    const bytes = await this.#members.document(name);
    if (bytes === undefined) return undefined;
    if (bytes.length !== size || digestOf(bytes) !== digest) {
      throw invalidArchive('its bytes have another digest or size', name);
    }
    return bytes;
  }
}
