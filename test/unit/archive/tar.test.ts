import { describe, expect, test } from 'vitest';
import { StreamBytes } from '../../../lib/archive/bytes.js';
import { linkedName, memberName, NameTable } from '../../../lib/archive/names.js';
import { readTar } from '../../../lib/archive/read-tar.js';
import { writeTar, type TarPart } from '../../../lib/archive/write-tar.js';
import { meta, paxOf, tarOf, type Part } from '../../helpers/archive.js';
import { rejection } from '../../helpers/runtime.js';

// eslint-disable-next-line @typescript-eslint/require-await -- a stream of what is there
async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** `name kind size data`, and the link's name. */
async function read(archive: Buffer, pieceBytes = 1 << 20): Promise<string[]> {
  const bytes = new StreamBytes(pieces(archive, pieceBytes));
  const lines: string[] = [];
  for await (const { name, kind, size, linkName } of readTar(bytes)) {
    // Every other one is left unread.
    const data = lines.length % 2 === 0 ? (await bytes.read(Math.min(size, 8))).toString() : '…';
    lines.push([name, kind, size, data, linkName].filter((one) => one !== '').join(' '));
  }
  return lines;
}

const long = `${'d'.repeat(120)}/${'n'.repeat(120)}`;
const base256 = (hex: string): Buffer =>
  Buffer.from(hex.padStart(22, '0').padStart(24, '80'), 'hex');

const READS: readonly [string, Part[], string[]][] = [
  ['a file', [{ name: 'a', data: 'text' }], ['a file 4 text']],
  ['an empty file', [{ name: 'a' }], ['a file 0']],
  ['exactly a block', [{ name: 'a', data: 'x'.repeat(512) }, { name: 'b', type: '5' }], ['a file 512 xxxxxxxx', 'b folder 0 …']],
  ['one more', [{ name: 'a', data: 'x'.repeat(513) }, { name: 'b', type: '5' }], ['a file 513 xxxxxxxx', 'b folder 0 …']],
  ['a prefix', [{ name: 'b', prefix: 'a/a' }], ['a/a/b file 0']],
  ['GNU has no prefix, but times there', [{ name: 'b', prefix: '14000000000', magic: 'gnu' }], ['b file 0']],
  ['older ones have neither', [{ name: 'b', prefix: 'junk', magic: 'old', type: '\0', data: 'x' }], ['b file 1 x']],
  ['a folder of old', [{ name: 'b/', magic: 'old', type: '\0' }], ['b/ folder 0']],
  ['contiguous', [{ name: 'a', type: '7', data: 'x' }], ['a file 1 x']],
  ['links say a size and have no data', [{ name: 'a', type: '1', linkName: 'b', size: 9999 }, { name: 'c', type: '2', linkName: '../d', size: 9999 }], ['a hard-link 0 b', 'c symlink 0 … ../d']],
  ['devices and the unknown', [{ name: 'a', type: '3' }, { name: 'b', type: 'V', data: 'x' }, { name: 'c', data: 'x' }], ['a other 0', 'b other 1 …', 'c file 1 x']],
  ['a name of GNU’s', [meta('L', `${long}\0`), { name: long, data: 'x' }, { name: 'b' }], [`${long} file 1 x`, 'b file 0 …']],
  ['a link of GNU’s', [meta('K', `${long}\0`), { name: 'a', type: '2', linkName: long }], [`a symlink 0 ${long}`]],
  ['both of GNU’s', [meta('K', 'to\0'), meta('L', 'from\0'), { name: 'a', type: '2', linkName: 'b' }], ['from symlink 0 to']],
  ['pax', [meta('x', paxOf({ mtime: '1.5', path: long, size: '1' })), { name: 'a', data: 'x', size: 0 }, { name: 'b' }], [`${long} file 1 x`, 'b file 0 …']],
  ['pax of a link', [meta('x', paxOf({ linkpath: 'ä=\n' })), { name: 'a', type: '2', linkName: 'b' }], ['a symlink 0 ä=\n']],
  ['a comment about all', [meta('g', paxOf({ comment: '0123' })), { name: 'a' }], ['a file 0']],
  ['a size of GNU’s', [{ name: 'a', size: base256('04'), data: 'text' }], ['a file 4 text']],
  ['a size with spaces', [{ name: 'a', size: '         4 \0', data: 'text' }], ['a file 4 text']],
  ['no size', [{ name: 'a', size: '' }], ['a file 0']],
  ['bytes above 127, summed', [{ name: 'ä', data: 'x' }], ['ä file 1 x']],
  ['and as if signed', [{ name: 'ä', data: 'x', signedSum: true }], ['ä file 1 x']],
]; // prettier-ignore

describe('readTar', () => {
  test.each(READS)('%s', async (_, parts, lines) => {
    const archive = tarOf(parts);
    for (const length of [1 << 20, 513, 512, 100, 7]) {
      expect(await read(archive, length)).toEqual(lines);
    }
  });

  test.each([
    ['two blocks of zeros', 1024],
    ['many', 10_240],
    ['one', 512],
    ['half of one', 256],
    ['none', 0],
    ['not even the rest of a block', -511],
  ])('it ends with %s', async (_, bytes) => {
    const archive = tarOf([{ name: 'a', data: 'x' }], Buffer.alloc(Math.max(0, bytes)));
    expect(await read(archive.subarray(0, archive.length + Math.min(0, bytes)))).toHaveLength(1);
  });

  test.each<[string, Buffer, RegExp]>([
    ['a wrong checksum', tarOf([{ name: 'a', badSum: true }]), /checksum/],
    ['text', Buffer.from('<html>'.repeat(200)), /checksum|number/],
    ['half a header', tarOf([{ name: 'a' }]).subarray(0, 300), /cut off/],
    ['half of its data', tarOf([{ name: 'a', data: 'x'.repeat(2000) }]).subarray(0, 1500), /cut off/],
    ['a long name of nothing', tarOf([meta('L', 'name\0')]), /cut off/],
    ['half a long name', tarOf([meta('L', 'name\0')]).subarray(0, 600), /cut off/],
    ['a negative size', tarOf([{ name: 'a', size: Buffer.alloc(12, 0xff) }]), /negative/],
    ['a huge size', tarOf([{ name: 'a', size: base256('20000000000000') }]), /too large/],
    ['a larger one', tarOf([{ name: 'a', size: Buffer.from('81'.padEnd(24, '0'), 'hex') }]), /too large/],
    ['a size with a sign', tarOf([{ name: 'a', size: '-0000000001\0' }]), /number/],
    ['a decimal size', tarOf([{ name: 'a', size: '00000000009\0' }]), /number/],
    ['a header of 2 MiB', tarOf([meta('x', Buffer.alloc(2 << 20))]), /2097152 bytes/],
    ['a header that claims 8 GiB', tarOf([{ ...meta('L', 'x'), size: 0o77777777777 }]), /8589934591/],
    ['a sparse file of GNU’s', tarOf([{ name: 'a', type: 'S' }]), /sparse/],
    ['a sparse file of pax’s', tarOf([meta('x', paxOf({ 'GNU.sparse.major': '1' })), { name: 'a' }]), /sparse/],
    ['a name for all', tarOf([meta('g', paxOf({ path: 'evil' })), { name: 'a' }]), /global/],
    ['a pax size that is none', tarOf([meta('x', paxOf({ size: '-1' })), { name: 'a' }]), /size/],
    ['one that is not exact', tarOf([meta('x', paxOf({ size: '9007199254740993' })), { name: 'a' }]), /size/],
    ...['5 a=b\n', '6 a=b', '99 a=b\n', '0 a=b\n', 'a=b\n', '6  ab\n', '-6 a=b\n', '3 \n', '4 =\n9', ' =\n', '7 a=b\nx'].map(
      (text): [string, Buffer, RegExp] => [`pax ${JSON.stringify(text)}`, tarOf([meta('x', text), { name: 'a' }]), /malformed/],
    ),
  ])('refused: %s', async (_, archive, reason) => {
    for (const length of [1 << 20, 100]) {
      expect(await rejection(read(archive, length))).toMatchObject({
        code: 'ERR_IMAGE_ARCHIVE_INVALID',
        details: { reason: expect.stringMatching(reason) },
      });
    }
  }); // prettier-ignore

  test('refused: headers without end', async () => {
    const one = tarOf([meta('x', paxOf({ a: 'b' }))], Buffer.alloc(0));
    const many = Buffer.concat(Array<Buffer>(256).fill(one));
    const flood = async function* (): AsyncGenerator<Buffer> {
      for (;;) yield await Promise.resolve(many);
    };
    const all = async (): Promise<void> => {
      for await (const _ of readTar(new StreamBytes(flood()))) expect.unreachable();
    };
    expect(await rejection(all())).toMatchObject({
      details: { reason: expect.stringMatching('131072 members') },
    });
  });
});

async function written(parts: readonly TarPart[]): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeTar(parts)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('writeTar', () => {
  test('what it writes is what is read', async () => {
    const file = (name: string, data: string): TarPart => ({ name, size: Buffer.byteLength(data), data: [Buffer.from(data)] }); // prettier-ignore
    const parts = [
      'blobs',
      file('a', ''),
      file('blobs/b', 'x'.repeat(513)),
      file(long, 'ä'),
      `${long}-folder`,
    ];
    const archive = await written(parts);
    expect(archive.length % 512).toBe(0);
    expect(await read(archive)).toEqual([
      'blobs/ folder 0',
      'a file 0 …',
      'blobs/b file 513 xxxxxxxx',
      `${long} file 2 …`,
      `${long}-folder/ folder 0`,
    ]);
    expect(await written(parts)).toEqual(archive);
  });

  test('more than 8 GiB', async () => {
    const big = 9 * 2 ** 30;
    const chunk = Buffer.alloc(1 << 20);
    const data = (function* () { for (let i = 0; i < big / chunk.length; i++) yield chunk; })(); // prettier-ignore
    const bytes = new StreamBytes(writeTar([{ name: 'a', size: big, data }]));
    const sizes: number[] = [];
    for await (const { size } of readTar(bytes)) sizes.push(size);
    expect(sizes).toEqual([big]);
  });

  test.each([3, 5])('data of another size than %i is an error', async (size) => {
    const call = written([{ name: 'a', size, data: [Buffer.from('text')] }]);
    expect(await rejection(call)).toMatchObject({ message: expect.stringContaining('bytes') });
  });
});

describe('names', () => {
  test.each([
    ['a', 'a'],
    ['./a//b/./c/', 'a/b/c'],
    ['.', ''],
    ['..a/b..', '..a/b..'],
  ])('memberName %j', (text, name) => {
    expect(memberName(text)).toBe(name);
  });

  test.each(['', '/', '/a', '..', '../a', 'a/../b', 'a/..', 'a\0b'])(
    'memberName refuses %j',
    (text) => {
      expect(() => memberName(text)).toThrow('not valid');
    },
  );

  test.each([
    ['a/layer.tar', '../b/layer.tar', 'b/layer.tar'],
    ['a', 'b', 'b'],
    ['a/b/c', './../../d', 'd'],
  ])('linkedName %j %j', (name, target, led) => {
    expect(linkedName(name, { kind: 'symlink', target })).toBe(led);
  });

  test.each(['/etc/passwd', '../../a', '../..', '../b/../../a'])(
    'linkedName refuses %j',
    (target) => {
      expect(() => linkedName('a/b', { kind: 'symlink', target })).toThrow('not valid');
    },
  );

  test('links are followed, to an end', () => {
    const table = new NameTable<string>();
    table.addFile('file', 'it');
    table.addLink('a', { kind: 'symlink', target: 'b' });
    table.addLink('b', { kind: 'hard-link', target: './file' });
    table.addLink('loop', { kind: 'symlink', target: 'loop' });
    table.addLink('lost', { kind: 'symlink', target: 'nothing' });
    table.addLink('out', { kind: 'hard-link', target: '../a' });
    expect([table.get('a'), table.get('lost'), table.get('none')]).toEqual([
      'it',
      undefined,
      undefined,
    ]);
    expect(() => table.get('loop')).toThrow('links');
    expect(() => table.get('out')).toThrow('leads out');
    expect(() => table.addFile('a', 'again')).toThrow('twice');
    expect(() => table.addLink('file', { kind: 'symlink', target: 'a' })).toThrow('twice');
  });
});
