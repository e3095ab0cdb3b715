import type { ForwardBytes } from './bytes.js';
import { invalidArchive } from './invalid.js';
import { parsePax, type Overrides } from './pax.js';
import { BLOCK, padded, parseHeader, type TarHeader } from './tar-header.js';

export interface TarMember {
  /** As it stands there: see memberName(). */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'hard-link' | 'symlink' | 'other';
  /** Of its data, which come next. */
  readonly size: number;
  /** What a link names. */
  readonly linkName: string;
}

/** More than any image has: 10,000 images of docker-archive's oldest form. */
const MAX_HEADERS = 1 << 17;
/** Of a name or an extended header. */
const MAX_META_BYTES = 1 << 20;

/**
 * The members of a tar archive, one after the other. When one is yielded, `bytes` stands before its data; how
 * many of them are read does not matter to what follows.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID`
 */
export async function* readTar(bytes: ForwardBytes): AsyncGenerator<TarMember> {
  let overrides: Overrides = {};
  for (let headers = 0; ; headers++) {
    const block = await bytes.read(BLOCK);
    // Two blocks of zeros end it, and one or none does for some writers.
    if (block.every((byte) => byte === 0)) break;
    if (block.length < BLOCK) throw cutOff();
    if (headers === MAX_HEADERS) throw invalidArchive(`it has more than ${MAX_HEADERS} members`);
    const header = parseHeader(block);

    const meta = await readMeta(bytes, header);
    if (meta !== undefined) {
      overrides = { ...overrides, ...meta };
      continue;
    }
    const { name, size, linkName } = { ...header, ...overrides };
    overrides = {};
    const kind = KINDS[header.type] ?? 'other';
    // Some writers say of links how large the file is.
    const dataBytes = kind === 'file' || kind === 'other' ? size : 0;
    const end = bytes.position + dataBytes;
    const isFolder = kind === 'file' && name.endsWith('/');
    yield { name, kind: isFolder ? 'folder' : kind, size: dataBytes, linkName };
    if (!(await bytes.skip(end - bytes.position))) throw cutOff(name);
    // What is written in Go may leave out what fills up the last block, and reads it.
    if (!(await bytes.skip(padded(dataBytes) - dataBytes))) break;
  }
  if (Object.keys(overrides).length > 0) throw cutOff();
}

const KINDS: Readonly<Record<string, TarMember['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hard-link',
  '2': 'symlink',
  '5': 'folder',
};

/** What a header says about the one that follows, or undefined when it is a member's own. */
async function readMeta(bytes: ForwardBytes, header: TarHeader): Promise<Overrides | undefined> {
  switch (header.type) {
    case 'x':
      return parsePax(await metaBytes(bytes, header.size));
    case 'L':
      return { name: textOf(await metaBytes(bytes, header.size)) };
    case 'K':
      return { linkName: textOf(await metaBytes(bytes, header.size)) };
    case 'g': {
      // About all that follow: a comment, as in what git writes. Names and sizes there would be no one's.
      const global = parsePax(await metaBytes(bytes, header.size));
      if (Object.keys(global).length > 0) {
        throw invalidArchive('a global extended header names all of its members');
      }
      return {};
    }
    case 'S':
      throw invalidArchive(
        'it is a sparse file, which no tool writes into an image archive',
        header.name,
      );
    default:
      return undefined;
  }
}

async function metaBytes(bytes: ForwardBytes, size: number): Promise<Buffer> {
  if (size > MAX_META_BYTES) {
    throw invalidArchive(
      `a header of ${size} bytes is more than the ${MAX_META_BYTES} it may have`,
    );
  }
  const data = await bytes.read(size);
  if (data.length < size || !(await bytes.skip(padded(size) - size))) throw cutOff();
  return data;
}

/** GNU's long names end with a NUL. */
const textOf = (data: Buffer): string => data.toString('utf8').replace(/\0.*$/s, '');

const cutOff = (member?: string): Error => invalidArchive('it is cut off', member);
