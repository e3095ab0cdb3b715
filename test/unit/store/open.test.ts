import { chmod, lstat, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { refuseForeign, writeIdentity } from '../../../lib/store/identity.js';
import { openStore, type Suitability } from '../../../lib/store/index.js';
import { tempFolder } from '../../helpers/temp.js';

const own = process.geteuid!() === 0 ? 'root' : 'rootless';
const other = own === 'root' ? 'rootless' : 'root';

const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error as { code?: unknown }).code,
  );

describe('openStore', () => {
  test('makes what is missing, once, and only its owner can enter', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 'a', 'store');
    await openStore(root, own);
    expect((await stat(root)).mode & 0o777).toBe(0o700);
    const text = await readFile(join(root, 'store.json'), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ version: 1, mode: own });

    await openStore(root, own);
    expect(await readFile(join(root, 'store.json'), 'utf8')).toBe(text);
  });

  test('the skeleton has every mount point, whatever the umask', async () => {
    await using folder = await tempFolder();
    const before = process.umask(0o077);
    try {
      await openStore(join(folder.path, 's'), own);
    } finally {
      process.umask(before);
    }
    const mode = async (path: string): Promise<string> =>
      ((await lstat(join(folder.path, 's/layers/skeleton', path))).mode & 0o7777).toString(8);
    expect(await mode('.')).toBe('755');
    for (const path of ['dev', 'etc', 'proc', 'run', 'sys', 'var']) {
      expect(await mode(path)).toBe('755');
    }
    expect(await mode('tmp')).toBe('1777');
    for (const path of ['hosts', 'hostname', 'resolv.conf']) {
      expect(await mode(`etc/${path}`)).toBe('644');
    }
  });

  test('eight at once make one store', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    await Promise.all(Array.from({ length: 8 }, () => openStore(root, own)));
    await openStore(root, own);
  });

  test('one that somebody makes between the look and the making is taken', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    await openStore(root, own);
    await refuseForeign(root);
    expect(await writeIdentity({ root, mode: own }, {})).toBe(false);
  });

  test('one that was cut short is completed', async () => {
    await using folder = await tempFolder();
    await mkdir(join(folder.path, 's', 'layers', 'skeleton', 'dev'), { recursive: true });
    await openStore(join(folder.path, 's'), own);
  });

  test('of the other mode is ERR_STORE_MODE', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    await openStore(root, own);
    await expect(openStore(root, other)).rejects.toMatchObject({
      code: 'ERR_STORE_MODE',
      details: { root },
    });
  });

  test.skipIf(own !== 'root')('of another user is ERR_STORE_MODE, for root too', async () => {
    await using folder = await tempFolder({ uid: 65534 });
    expect(await code(openStore(folder.path, 'root'))).toBe('ERR_STORE_MODE');
  });

  test('in a folder that holds other things is refused, and nothing is written', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'thesis.tex'), 'x');
    expect(await code(openStore(folder.path, own))).toBe('ERR_STORE_UNUSABLE');
    expect((await stat(folder.path)).mode & 0o777).toBe(0o755);
  });

  test('a file in its place, or in its way', async () => {
    await using folder = await tempFolder();
    const file = join(folder.path, 'file');
    await writeFile(file, 'x');
    expect(await code(openStore(file, own))).toBe('ERR_STORE_UNUSABLE');
    expect(await code(openStore(join(file, 's'), own))).toBe('ERR_STORE_UNUSABLE');
  });

  test('a damaged or newer record is said as that', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    await openStore(root, own);
    await writeFile(join(root, 'store.json'), '{"version":1,');
    expect(await code(openStore(root, own))).toBe('ERR_STORE_CORRUPT');
    await writeFile(join(root, 'store.json'), '{"version":2}');
    expect(await code(openStore(root, own))).toBe('ERR_STORE_UNUSABLE');
  });

  test.skipIf(own === 'root')('where this user may not write', async () => {
    await using folder = await tempFolder();
    await chmod(folder.path, 0o555);
    expect(await code(openStore(join(folder.path, 's'), own))).toBe('ERR_STORE_UNUSABLE');
    await chmod(folder.path, 0o755);
  });
});

describe('the trial of the file system', () => {
  test('is made once', async () => {
    await using folder = await tempFolder();
    const asked: string[] = [];
    const trial = (root: string): Promise<Suitability> => {
      asked.push(root);
      return Promise.resolve({});
    };
    const root = join(folder.path, 's');
    await openStore(root, own, trial);
    await openStore(root, own, trial);
    expect(asked).toEqual([root]);
  });

  test('is made again where the store has moved to another one', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    await openStore(root, own);
    const path = join(root, 'store.json');
    const identity = JSON.parse(await readFile(path, 'utf8')) as { device: number };
    await writeFile(path, JSON.stringify({ ...identity, device: identity.device + 1 }));
    const refused = openStore(root, own, () => Promise.resolve({ reason: 'no xattrs' }));
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root, reason: 'no xattrs' },
    });
    // And kept: nobody has to ask a second time.
    expect(await code(openStore(root, own))).toBe('ERR_STORE_UNUSABLE');
  });

  test('decides before there is a store', async () => {
    await using folder = await tempFolder();
    const root = join(folder.path, 's');
    const trial = (): Promise<Suitability> =>
      Promise.resolve({ reason: 'no xattrs', hint: 'elsewhere' });
    await expect(openStore(root, own, trial)).rejects.toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      hint: 'elsewhere',
    });
    expect(await readdir(root)).toEqual([]);
    await openStore(root, own);
  });
});
