import type { Digest } from '../store/images.js';

/** Bytes that lie in a file: of a blob's own, or of an archive. */
export interface Place {
  /** Absolute. */
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/** What lies in an archive or an image layout. Names are those of memberName(). */
export interface Members {
  /**
   * The whole of a file, or undefined when there is none.
   *
   * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` when it is larger than a document may be
   */
  document(name: string): Promise<Buffer | undefined>;
  /** Where the bytes of a file are, or undefined when there is none. */
  place(name: string): Promise<Place | undefined>;
}

/** A file of a stream that is not kept in memory. */
export interface StreamedBlob {
  /** Its name in the archive. */
  readonly name: string;
  /** What an image layout calls it: nobody has compared it with the bytes yet. */
  readonly digest: Digest | undefined;
  readonly size: number;
}

/**
 * Puts the bytes of a blob, which can be read once and now, where they can be read again. Not every one of them
 * becomes part of an image: whoever gives this function removes those that do not, and all when the archive is refused.
 */
export type TakeBlob = (blob: StreamedBlob, bytes: AsyncIterable<Buffer>) => Promise<Place>;
