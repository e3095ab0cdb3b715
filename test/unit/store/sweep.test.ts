import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openStore, Store, sweep } from '../../../lib/store/index.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';
import { FakeLocker } from './fake-locker.js';

const mode = process.geteuid!() === 0 ? 'root' : 'rootless';

let folder: TempFolder;
let root: string;
let locker: FakeLocker;
let store: Store;
/** Another program's, on the same folder. */
let other: Store;

beforeEach(async () => {
  folder = await tempFolder();
  root = join(folder.path, 's');
  await openStore(root, mode);
  locker = new FakeLocker();
  store = new Store({ root, mode, locker });
  other = new Store({ root, mode, locker });
});
afterEach(async () => {
  vi.useRealTimers();
  await folder.remove();
});

const remove = (name: string): Promise<void> =>
  rm(join(root, name), { recursive: true, force: true });
const swept = (): Promise<void> => sweep({ store: other, remove });
/** ctime cannot be set: the clock can. */
const later = (minutes: number): void => {
  vi.useFakeTimers({ now: Date.now() + minutes * 60_000, toFake: ['Date'] });
};
const partials = (): Promise<string[]> => readdir(join(root, 'images/partial'));

describe('new blobs', () => {
  test('of the living stay, however old they are, and those of the dead go', async () => {
    const living = await store.images.blobs.begin();
    const ended = await store.images.blobs.begin();
    await ended.write(Buffer.from('a'));
    const digest = await ended.end();
    // Of a program that was killed: nobody holds what says that it lives.
    const dead = '.tmp-0123456789abcdef';
    for (const name of [dead, `${dead}-01`, `${dead}-02`, '.tmp-fedcba9876543210-01']) {
      await writeFile(join(root, 'images/partial', name), 'x');
    }
    const before = await partials();
    await swept();
    expect(await partials()).toEqual(before); // all of them are young

    later(180);
    await swept();
    const left = await partials();
    expect(left.filter((name) => !before.includes(name))).toEqual([]);
    expect(left.some((name) => /0123456789abcdef|fedcba9876543210/.test(name))).toBe(false);
    expect(left).toHaveLength(3);
    await living.discard();
    expect(await ended.keep()).toEqual({ digest, size: 1 });
    expect(await partials()).toEqual([]);
    expect(await other.images.blobs.sizeOf(digest)).toBe(1);
  });

  test('of known digest are gone on with, whoever began', async () => {
    const digest = `sha256:${'a'.repeat(64)}` as const;
    await store.images.blobs.fetch(digest, 9, (blob) => blob.write(Buffer.from('abc')));
    later(180);
    await swept();
    expect(await partials()).toEqual(['a'.repeat(64)]);
  });

  test('do not make it fail where there has been none', async () => {
    await swept();
    expect(existsSync(join(root, 'images/partial'))).toBe(false);
  });
});

describe('scratch', () => {
  test('of a living Runtime stays, that of a dead one goes with its trash', async () => {
    const claim = await store.scratch.claim('aaaaaaaaaaaaaaaa');
    for (const name of ['scratch/aaaaaaaaaaaaaaaa/0', 'trash/aaaaaaaaaaaaaaaa/0']) {
      await mkdir(join(root, name), { recursive: true });
    }
    for (const name of [
      'scratch/bbbbbbbbbbbbbbbb/0/upper',
      'trash/bbbbbbbbbbbbbbbb/1',
      'trash/cccc',
    ]) {
      await mkdir(join(root, name), { recursive: true });
    }
    await swept();
    expect(await readdir(join(root, 'scratch'))).toHaveLength(2); // they are young

    later(5);
    await swept();
    expect(await readdir(join(root, 'scratch'))).toEqual(['aaaaaaaaaaaaaaaa']);
    expect(await readdir(join(root, 'trash'))).toEqual(['aaaaaaaaaaaaaaaa']);
    expect(await readdir(join(root, 'layers'))).toEqual(['skeleton']);

    await claim?.release();
    await Promise.all([swept(), swept()]);
    expect(await readdir(join(root, 'scratch'))).toEqual([]);
    expect(await readdir(join(root, 'trash'))).toEqual([]);
  });

  test('that is withdrawn goes when it is empty', async () => {
    const claim = await store.scratch.claim('aaaaaaaaaaaaaaaa');
    expect(await store.scratch.claim('aaaaaaaaaaaaaaaa')).toBeUndefined();
    await claim?.withdraw();
    expect(await readdir(join(root, 'scratch'))).toEqual([]);
  });
});

test('halves of records go when they are old', async () => {
  await mkdir(join(root, 'images/blobs/sha256'), { recursive: true });
  const halves = ['.tmp-1', 'images/.tmp-2', 'images/blobs/sha256/.tmp-3', 'leases/.tmp-4'];
  for (const name of halves) await writeFile(join(root, name), 'half');
  const old = new Date(0);
  for (const name of halves) await utimes(join(root, name), old, old);
  await swept();
  expect(halves.every((name) => existsSync(join(root, name)))).toBe(true);
  later(61);
  await swept();
  expect(halves.some((name) => existsSync(join(root, name)))).toBe(false);
});
