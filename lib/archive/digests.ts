import { createHash } from 'node:crypto';
import type { Digest } from '../store/images.js';

/** The only algorithm that images have: sha512 is allowed by the specification and used by nobody. */
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export const isDigest = (value: unknown): value is Digest =>
  typeof value === 'string' && DIGEST.test(value);

export const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length);

/** Where an image layout has the blob. */
export const nameOfBlob = ({ digest }: { readonly digest: Digest }): string =>
  `blobs/sha256/${hexOf(digest)}`;

export function digestOfName(name: string): Digest | undefined {
  const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}
