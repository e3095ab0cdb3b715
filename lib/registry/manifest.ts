import { CaissonError } from '../errors/index.js';
import {
  parseManifest as parse,
  type ImageManifest,
  type ManifestIndex,
} from '../store/documents.js';
import { DOCKER_MEDIA_TYPES, MEDIA_TYPES } from '../store/images.js';

export type { ImageManifest, ManifestIndex } from '../store/documents.js';

/** What is asked for: images alone. */
export const ACCEPT = [
  MEDIA_TYPES.index,
  DOCKER_MEDIA_TYPES.index,
  MEDIA_TYPES.manifest,
  DOCKER_MEDIA_TYPES.manifest,
].join(', ');

const LAYERS = /^application\/vnd\.(?:oci\.image\.layer\.|docker\.image\.rootfs\.)/;

/**
 * An image's manifest or index.
 *
 * @param document - With the type that the answer's header says, or none.
 * @param reference - For errors.
 * @throws {@link CaissonError} `ERR_IMAGE_INVALID`; `ERR_UNSUPPORTED` for what is no image
 */
export function parseManifest(
  document: { readonly mediaType: string; readonly bytes: Uint8Array },
  reference: string,
): ImageManifest | ManifestIndex {
  const unsupported = (reason: string): CaissonError =>
    new CaissonError('ERR_UNSUPPORTED', { what: `the image ${JSON.stringify(reference)}`, reason });
  const manifest = parse(document, (reason, why) =>
    why === 'no-image'
      ? unsupported(reason)
      : new CaissonError('ERR_IMAGE_INVALID', { reference, reason: `of its manifest: ${reason}` }),
  );
  const layers = manifest.kind === 'image' ? manifest.layers : [];
  const foreign = layers.find(({ mediaType }) => !LAYERS.test(mediaType));
  if (foreign === undefined) return manifest;
  const type = JSON.stringify(foreign.mediaType.slice(0, 100));
  throw unsupported(`it has a layer of the type ${type}`);
}
