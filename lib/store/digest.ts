import { createHash } from 'node:crypto';
import type { Digest } from './images.js';

/** The only algorithm that images have: sha512 is allowed by the specification and used by nobody. */
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Whether it may become part of a path or a URL, and can be compared with what sha256 gives. */
export const isDigest = (value: unknown): value is Digest =>
  typeof value === 'string' && DIGEST.test(value);

export const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length);
