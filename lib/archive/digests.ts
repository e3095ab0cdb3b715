import { hexOf } from '../store/digest.js';
import type { Digest } from '../store/images.js';

/** Where an image layout has the blob. */
export const nameOfBlob = ({ digest }: { readonly digest: Digest }): string =>
  `blobs/sha256/${hexOf(digest)}`;

export function digestOfName(name: string): Digest | undefined {
  const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}
