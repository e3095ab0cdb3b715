// One header of a tar archive: POSIX ustar, GNU and the one before both. Offsets as in tar(5).
import { invalidArchive } from './invalid.js';

export const BLOCK = 512;

/** Bytes of data with what fills up their last block. */
export const padded = (size: number): number => Math.ceil(size / BLOCK) * BLOCK;

export interface TarHeader {
  readonly name: string;
  /** As it stands there: `'0'` and NUL are files, `'5'` a folder, `'1'` and `'2'` links, … */
  readonly type: string;
  readonly size: number;
  readonly linkName: string;
}

/** The first two are what POSIX has; GNU's and older headers use the bytes of `prefix` otherwise. */
const POSIX = 'ustar\0';
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  prefix: [345, 155],
} as const;

type Field = keyof typeof FIELDS;

/** @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` when it is none */
export function parseHeader(block: Buffer): TarHeader {
  if (!sums(block).includes(numberOf(block, 'checksum'))) {
    throw invalidArchive('a header of the tar archive has a wrong checksum');
  }
  const prefix =
    bytesOf(block, 'magic').toString('latin1') === POSIX ? textOf(block, 'prefix') : '';
  const name = textOf(block, 'name');
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    type: bytesOf(block, 'type').toString('latin1'),
    size: numberOf(block, 'size'),
    linkName: textOf(block, 'linkName'),
  };
}

/** Of a regular file or (`'5'`) a folder that belongs to root and is as old as time. `name` is at most 100 bytes. */
export function formatHeader({ name, type, size }: Omit<TarHeader, 'linkName'>): Buffer {
  const block = Buffer.alloc(BLOCK);
  const put = (field: Field, text: string): void => {
    block.write(text, FIELDS[field][0], FIELDS[field][1], 'utf8');
  };
  const octal = (field: Field, value: number): void => {
    put(field, value.toString(8).padStart(FIELDS[field][1] - 1, '0'));
  };
  put('name', name);
  octal('mode', type === '5' ? 0o755 : 0o644);
  octal('uid', 0);
  octal('gid', 0);
  octal('size', size);
  octal('mtime', 0);
  put('type', type);
  put('magic', POSIX);
  put('version', '00');
  const [sum] = sums(block);
  put('checksum', `${sum.toString(8).padStart(6, '0')}\0 `);
  return block;
}

function bytesOf(block: Buffer, field: Field): Buffer {
  const [start, length] = FIELDS[field];
  return block.subarray(start, start + length);
}

function textOf(block: Buffer, field: Field): string {
  const bytes = bytesOf(block, field);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** Octal digits; or, in GNU's form for what they cannot say, a big-endian number behind 0x80. */
function numberOf(block: Buffer, field: Field): number {
  const bytes = bytesOf(block, field);
  const first = bytes.readUInt8(0);
  if (first < 0x80) {
    const digits = /^ *([0-7]*)[ \0]*$/.exec(bytes.toString('latin1'))?.[1];
    if (digits === undefined) throw invalidArchive(`a header's ${field} is not a number`);
    return digits === '' ? 0 : Number.parseInt(digits, 8);
  }
  const value = BigInt(`0x${bytes.subarray(1).toString('hex')}`);
  // 0xff is the beginning of a negative number.
  if (first !== 0x80 || value > Number.MAX_SAFE_INTEGER) {
    throw invalidArchive(`a header's ${field} is negative or too large`);
  }
  return Number(value);
}

/** Of all bytes, those of the checksum as spaces; some old writers took the bytes for signed. */
function sums(block: Buffer): [number, number] {
  const [start, length] = FIELDS.checksum;
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= start && i < start + length ? 0x20 : block.readUInt8(i);
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  return [unsigned, signed];
}
