// The types of layers, OCI's and Docker's.
import { MEDIA_TYPES } from '../store/images.js';

export type LayerCompression = 'none' | 'gzip' | 'zstd';
export type Compression = LayerCompression | 'xz' | 'bzip2';

/** What a layer is compressed with; undefined when it is no layer that anyone can unpack. */
export function compressionOfType(type: string): LayerCompression | undefined {
  const how = LAYER.exec(type);
  if (how === null) return undefined;
  return how[1] === undefined ? 'none' : (how[1].slice(1) as LayerCompression);
}

/** OCI's are `…tar+gzip`, Docker's `…tar.gzip`; both have one for layers that may not be given away, and exist. */
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1|docker\.image\.rootfs(?:\.foreign)?\.diff)\.tar([+.](?:gzip|zstd))?$/;

/** OCI's type of a layer. */
export const layerType = (compression: LayerCompression): string =>
  `${MEDIA_TYPES.layerTar}${compression === 'none' ? '' : `+${compression}`}`;

const MAGIC: readonly (readonly [Compression, string])[] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a68'],
];

/** How many bytes tell. */
export const MAGIC_BYTES = 6;

/** What bytes that begin like this are compressed with. */
export function compressionOfBytes(head: Buffer): Compression {
  const hex = head.toString('hex', 0, MAGIC_BYTES);
  return MAGIC.find(([, magic]) => hex.startsWith(magic))?.[0] ?? 'none';
}
