import type { Digest, Platform } from '../store/images.js';
import type { Place } from './members.js';

/** A document with the bytes it was read as: written again, it has the same digest. */
export interface Verbatim {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
}

export interface ArchivedLayer {
  /** Of the file in the archive. */
  readonly name: string;
  readonly mediaType: string;
  /** Of its blob, as its manifest says; a docker-archive does not say it of a compressed one. Not compared yet. */
  readonly digest: Digest | undefined;
  /** Of its plain tar. Not compared yet. */
  readonly diffId: Digest;
  readonly blob: Place;
}

/** An image as an archive has it: whole, its documents checked, its layers not. */
export interface ArchivedImage {
  readonly platform: Platform;
  /** A docker-archive has none. */
  readonly manifest: Verbatim | undefined;
  readonly config: Verbatim;
  /** Lowest first. */
  readonly layers: readonly ArchivedLayer[];
}

/** What names lead to: one image, or one for each of several platforms. */
export interface ArchivedReference {
  /** As they stand there: not looked at, and not all of one form. */
  readonly names: readonly string[];
  readonly images: readonly [ArchivedImage, ...ArchivedImage[]];
}
