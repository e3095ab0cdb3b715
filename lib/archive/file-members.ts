import { constants, open, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../errors/index.js';
import { errnoOf } from '../store/files.js';
import { FileBytes, readFully } from './bytes.js';
import { invalidArchive } from './invalid.js';
import { MAX_DOCUMENT_BYTES } from '../store/documents.js';
import type { Members, Place } from './members.js';
import { memberName, NameTable } from './names.js';
import { readTar, type TarMember } from './read-tar.js';

/** The members of a tar archive that can be read anywhere: only its headers are read. */
export async function membersOfFile({
  path,
  file,
  size,
  signal,
}: {
  readonly path: string;
  readonly file: FileHandle;
  readonly size: number;
  readonly signal: AbortSignal | undefined;
}): Promise<Members> {
  const table = new NameTable<Place>();
  const bytes = new FileBytes(file, size);
  for await (const member of readTar(bytes)) {
    throwIfAborted(signal);
    const name = memberName(member.name);
    if (!addLink(table, name, member) && member.kind === 'file') {
      table.addFile(name, { path, offset: bytes.position, size: member.size });
    }
  }
  return {
    place: (name) => Promise.resolve(table.get(name)),
    async document(name) {
      const place = table.get(name);
      return place === undefined ? undefined : await documentAt(place, name, file);
    },
  };
}

/** False when the member is none. */
export function addLink<File>(
  table: NameTable<File>,
  name: string,
  { kind, linkName }: TarMember,
): boolean {
  if (kind !== 'symlink' && kind !== 'hard-link') return false;
  table.addLink(name, { kind, target: linkName });
  return true;
}

/** The members of a folder that holds what an archive would. Links in it are followed: it is somebody's own folder. */
export function membersOfFolder(folder: string): Members {
  const place = async (name: string): Promise<Place | undefined> => {
    const path = join(folder, memberName(name));
    try {
      const found = await stat(path);
      if (!found.isFile()) throw invalidArchive('it is no regular file', name);
      return { path, offset: 0, size: found.size };
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
      throw error;
    }
  };
  return {
    place,
    async document(name) {
      const found = await place(name);
      return found === undefined ? undefined : await readDocument(found, name);
    },
  };
}

/** Opens it anew. */
export async function readDocument(place: Place, name: string): Promise<Buffer> {
  // What has become a FIFO meanwhile must not hold us up.
  const file = await open(place.path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await documentAt(place, name, file);
  } finally {
    await file.close();
  }
}

async function documentAt(place: Place, name: string, file: FileHandle): Promise<Buffer> {
  if (place.size > MAX_DOCUMENT_BYTES) {
    throw invalidArchive(`a document of ${place.size} bytes is too large`, name);
  }
  return await readFully(file, place.offset, place.size);
}
