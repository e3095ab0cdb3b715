import { Readable } from 'node:stream';
import type { StreamBytes } from './bytes.js';
import { digestOfName } from './digests.js';
import { addLink, readDocument } from './file-members.js';
import { invalidArchive } from './invalid.js';
import { MAX_DOCUMENT_BYTES } from '../store/documents.js';
import type { Members, Place, StreamedBlob, TakeBlob } from './members.js';
import { memberName, NameTable } from './names.js';
import { readTar } from './read-tar.js';

/** All documents of an archive together: a few KiB an image. */
const MAX_DOCUMENTS_BYTES = 64 << 20;
/** Of all images together; a root file system, which is no such archive, has more files. */
const MAX_BLOBS = 10_000;

/**
 * The members of a tar archive that comes but once. They come in any order, mostly before what says which of them
 * belong to an image: what looks like a document is kept in memory, the rest is given away as it comes.
 */
export async function membersOfStream(bytes: StreamBytes, takeBlob: TakeBlob): Promise<Members> {
  const table = new NameTable<Buffer | Place>();
  let documentBytes = 0;
  let blobs = 0;
  for await (const member of readTar(bytes)) {
    const name = memberName(member.name);
    table.assertFree(name);
    if (addLink(table, name, member) || member.kind !== 'file' || OF_OLD.test(name)) continue;
    if (member.size <= MAX_DOCUMENT_BYTES && (await looksLikeDocument(bytes, member.size))) {
      documentBytes += member.size;
      if (documentBytes > MAX_DOCUMENTS_BYTES) {
        throw invalidArchive(`its documents are more than ${MAX_DOCUMENTS_BYTES} bytes`, name);
      }
      const document = await bytes.read(member.size);
      // Not a part of what came: that would keep all of it.
      if (document.length < member.size) throw invalidArchive('it is cut off', name);
      table.addFile(name, Buffer.from(document));
    } else {
      blobs += 1;
      if (blobs > MAX_BLOBS) throw invalidArchive(`it has more than ${MAX_BLOBS} blobs`);
      const blob = { name, digest: digestOfName(name), size: member.size };
      table.addFile(name, await take(blob, dataOf(bytes, blob), takeBlob));
    }
  }
  // The compressed form has its checksum there, and who writes into a pipe wants to write it all.
  await bytes.skip(Number.MAX_SAFE_INTEGER);

  const late = new Map<Buffer, Place>();
  return {
    async place(name) {
      const found = table.get(name);
      if (!Buffer.isBuffer(found)) return found;
      // A layer whose first file's name begins as a document does.
      const blob = { name, digest: digestOfName(name), size: found.length };
      const place = late.get(found) ?? (await take(blob, Readable.from([found]), takeBlob));
      late.set(found, place);
      return place;
    },
    async document(name) {
      const found = table.get(name);
      if (found === undefined || Buffer.isBuffer(found)) return found;
      return await readDocument(found, name);
    },
  };
}

/** What `docker save` writes beside each layer for versions before 1.10. */
const OF_OLD = /^[0-9a-f]{64}\/(?:VERSION|json)$/;

async function looksLikeDocument(bytes: StreamBytes, size: number): Promise<boolean> {
  const head = await bytes.peek(Math.min(size, 64));
  return /^[ \t\r\n]*[{[]/.test(head.toString('latin1', 0, Math.min(size, 64)));
}

async function* dataOf(bytes: StreamBytes, { name, size }: StreamedBlob): AsyncGenerator<Buffer> {
  for (let left = size; left > 0;) {
    const chunk = await bytes.take(left);
    if (chunk.length === 0) throw invalidArchive('it is cut off', name);
    left -= chunk.length;
    yield chunk;
  }
}

async function take(
  blob: StreamedBlob,
  data: AsyncIterable<Buffer>,
  takeBlob: TakeBlob,
): Promise<Place> {
  const place = await takeBlob(blob, data);
  if (place.size !== blob.size) throw new Error(`takeBlob kept another size of ${blob.name}`);
  return place;
}
