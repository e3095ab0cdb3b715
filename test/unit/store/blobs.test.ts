import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Blobs } from '../../../lib/store/blobs.js';
import { Locks, type Digest } from '../../../lib/store/index.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';
import { FakeLocker } from './fake-locker.js';

let folder: TempFolder;
let blobs: Blobs;
let layout = '';

const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

beforeEach(async () => {
  folder = await tempFolder();
  layout = join(folder.path, 'layout');
  blobs = new Blobs(layout, new Locks(folder.path, new FakeLocker()));
});
afterEach(() => folder.remove());

describe('a blob that is being fetched', () => {
  const bytes = Buffer.from('some bytes of a layer');
  const digest = digestOf(bytes);

  test('is there when it is kept, and not before', async () => {
    const first = await blobs.fetch(digest, bytes.length, async (blob) => {
      expect(blob.offset).toBe(0);
      await blob.write(bytes);
      expect(await blobs.sizeOf(digest)).toBeUndefined();
      await blob.keep();
      return 'mine';
    });
    expect(first).toBe('mine');
    expect(await blobs.sizeOf(digest)).toBe(bytes.length);
    expect(await readFile(blobs.path(digest))).toEqual(bytes);
    expect(await blobs.fetch(digest, bytes.length, () => Promise.reject(new Error()))).toBe(
      'exists',
    );
    expect(await blobs.partials()).toEqual([]);
  });

  test('goes on where it was cut off', async () => {
    const cut = blobs.fetch(digest, bytes.length, async (blob) => {
      await blob.write(bytes.subarray(0, 5));
      throw new Error('cut');
    });
    await expect(cut).rejects.toThrow('cut');
    expect(await blobs.partials()).toMatchObject([{ size: 5 }]);
    await blobs.fetch(digest, bytes.length, async (blob) => {
      expect(blob.offset).toBe(5);
      await blob.write(bytes.subarray(5));
      await blob.keep();
    });
    expect(await readFile(blobs.path(digest))).toEqual(bytes);
  });

  test('begins again over what was there, or with nothing', async () => {
    await blobs.fetch(digest, bytes.length, (blob) => blob.write(Buffer.from('wrong')));
    await blobs.fetch(digest, bytes.length, async (blob) => {
      await blob.restart();
      expect(blob.offset).toBe(0);
      await blob.write(bytes.subarray(0, 7));
      await blob.clear();
      await blob.write(bytes);
      await blob.keep();
    });
    expect(await readFile(blobs.path(digest))).toEqual(bytes);
  });

  test('one that is too long begins again; discarded, nothing is left', async () => {
    await blobs.fetch(digest, 99, (blob) => blob.write(Buffer.alloc(50)));
    await blobs.fetch(digest, bytes.length, async (blob) => {
      expect(blob.offset).toBe(0);
      await blob.discard();
    });
    expect(await blobs.partials()).toEqual([]);
    expect(await blobs.sizeOf(digest)).toBeUndefined();
  });

  test('several who want it fetch it once', async () => {
    let fetches = 0;
    const one = async (): Promise<unknown> =>
      await blobs.fetch(digest, bytes.length, async (blob) => {
        ++fetches;
        await blob.write(bytes);
        await blob.keep();
      });
    await Promise.all(Array.from({ length: 5 }, one));
    expect(fetches).toBe(1);
  });

  test('a digest that is a path is none', () => {
    expect(() => blobs.path('sha256:../../etc/passwd')).toThrow(/not a digest/);
  });
});

test('one whose digest its end tells', async () => {
  const blob = await blobs.begin();
  await blob.write(Buffer.from('a'));
  await blob.write(Buffer.from('b'));
  const kept = await blob.keep();
  expect(kept).toEqual({ digest: digestOf(Buffer.from('ab')), size: 2 });
  expect(await blobs.list()).toEqual(new Map([[kept.digest, 2]]));

  const other = await blobs.begin();
  await other.write(Buffer.from('c'));
  await other.discard();
  expect(await readdir(join(layout, 'partial'))).toEqual([]);
});
