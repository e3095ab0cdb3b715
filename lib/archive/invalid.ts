import { CaissonError } from '../errors/index.js';

/** The refusal of an archive; `member` is the file in it that is wrong, where it is one. */
export function invalidArchive(
  reason: string,
  member?: string,
  cause?: unknown,
): CaissonError<'ERR_IMAGE_ARCHIVE_INVALID'> {
  return new CaissonError(
    'ERR_IMAGE_ARCHIVE_INVALID',
    { reason, ...(member === undefined ? {} : { member }) },
    cause === undefined ? {} : { cause },
  );
}
