import { chmodSync, chownSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

import type { CaissonError } from '../../lib/index.js';
import { Container, Image, Runtime } from '../../lib/index.js';
import { asUser, USER_ID } from '../helpers/as-user.js';
import { mountAt } from '../helpers/file-system.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { programs } from '../helpers/program.js';
import { rejection } from '../helpers/runtime.js';
import { tempFolder, tempStore } from '../helpers/temp.js';

// File systems that no store can be on, mounted for one test each.
const { describe, test } = needs('native', 'root', 'asUser', 'userns');
const image = Image.host();
const userProgram = programs({ prefix: asUser([]) });
checkLeaks();

/** What opening there says, which leaves nothing, however often it is tried. */
async function refusal(options: { root: string; runDir: string }): Promise<CaissonError> {
  const before = readdirSync(options.root);
  const errors = [await rejection(Runtime.open(options)), await rejection(Runtime.open(options))];
  expect(errors[1]).toEqual(errors[0]);
  expect(readdirSync(options.root)).toEqual(before);
  return errors[0] as CaissonError;
}

describe('root', () => {
  test('an overlay', async () => {
    await using folder = await tempFolder();
    await using store = await tempStore();
    await using _below = mountAt(folder.path, 'tmpfs');
    for (const name of ['l', 'u', 'w']) mkdirSync(join(folder.path, name));
    const layers = ['lowerdir=l', 'upperdir=u', 'workdir=w'].map((option) =>
      option.replace('=', `=${folder.path}/`),
    );
    await using _overlay = mountAt(store.root, 'overlay', layers.join(','));
    expect(await refusal(store.options)).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringContaining('overlay') as string },
      hint: expect.stringMatching(/`root` on ext4.*volume/) as string,
    });
  });

  test('ramfs, which is known to have no attributes', async () => {
    await using store = await tempStore();
    await using _mounted = mountAt(store.root, 'ramfs');
    expect(await refusal(store.options)).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringContaining('ramfs') as string },
      hint: expect.stringContaining('tmpfs') as string,
    });
  });

  test('one that nothing is known of is tried', async () => {
    await using store = await tempStore();
    await using _mounted = mountAt(store.root, 'hugetlbfs', 'mode=0700');
    expect(await refusal(store.options)).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringMatching(/its file system/) as string },
      hint: expect.stringContaining('ext4') as string,
    });
  });

  test('read-only', async () => {
    await using store = await tempStore();
    await using mounted = mountAt(store.root, 'tmpfs', 'mode=0700');
    const readOnly = {
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringContaining('read-only') as string },
      hint: expect.stringContaining('`root`') as string,
    };
    mounted.remount('ro');
    expect(await refusal(store.options)).toMatchObject(readOnly);
    const below = { ...store.options, root: join(store.root, 'deep/er') };
    expect(await rejection(Runtime.open(below))).toMatchObject({
      ...readOnly,
      details: { ...readOnly.details, root: below.root },
    });
    // One that was good before.
    mounted.remount('rw');
    await (await Runtime.open(store.options)).close();
    mounted.remount('ro');
    expect(await refusal(store.options)).toMatchObject(readOnly);
    mounted.remount('rw');
    await using runtime = await Runtime.open(store.options);
    expect((await Container.run(image, ['echo', 'x'], { runtime })).stdout).toBe('x\n');
  });

  test('a read-only run folder', async () => {
    await using store = await tempStore();
    await using _mounted = mountAt(store.runDir, 'tmpfs', 'mode=0700,ro');
    for (const runDir of [store.runDir, join(store.runDir, 'below')]) {
      expect(await rejection(Runtime.open({ ...store.options, runDir }))).toMatchObject({
        code: 'ERR_STORE_UNUSABLE',
        details: { root: runDir, reason: expect.stringContaining('read-only') as string },
        hint: expect.stringContaining('runDir') as string,
      });
    }
  });

  test('a store that goes to another file system is looked at again', async () => {
    await using one = await tempStore();
    await (await Runtime.open(one.options)).close();
    await using _mounted = mountAt(one.root, 'ramfs');
    expect(await refusal(one.options)).toMatchObject({ code: 'ERR_STORE_UNUSABLE' });
  });
});

describe('an ordinary user', () => {
  const open = (options: object): string => `
    const { Runtime, Container, Image } = caisson;
    try {
      const runtime = await Runtime.open(${JSON.stringify(options)});
      const { stdout } = await Container.run(Image.host(), ['echo', 'it runs'], { runtime });
      await runtime.close();
      console.log(JSON.stringify({ stdout }));
    } catch (error) {
      const { code, details, hint, message } = error;
      console.log(JSON.stringify({ code, details, hint, message }));
    }`;
  const said = async (options: object): Promise<unknown> => {
    const { stdout, stderr } = await userProgram(open(options));
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  };

  test('no attributes of users', async () => {
    await using store = await tempStore({ uid: USER_ID });
    await using _mounted = mountAt(store.root, 'ramfs');
    chownSync(store.root, USER_ID, USER_ID);
    chmodSync(store.root, 0o700);
    expect(await said(store.options)).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringContaining('attributes') as string },
      hint: expect.stringContaining('ext4') as string,
    });
    expect(readdirSync(store.root)).toEqual([]);
  });

  test('one that nothing is known of is tried', async () => {
    await using store = await tempStore({ uid: USER_ID });
    const options = `mode=0700,uid=${USER_ID},gid=${USER_ID}`;
    await using _mounted = mountAt(store.root, 'hugetlbfs', options);
    expect(await said(store.options)).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringMatching(/user\.\*|attributes/) as string },
    });
    expect(readdirSync(store.root)).toEqual([]);
  });

  test('a folder of somebody else, and one below it', async () => {
    await using store = await tempStore({ uid: USER_ID });
    chownSync(store.root, 0, 0);
    expect(await said(store.options)).toMatchObject({ code: 'ERR_STORE_MODE' });
    expect(await said({ ...store.options, root: '/root/a/b' })).toMatchObject({
      code: expect.stringMatching(/^ERR_STORE_(MODE|UNUSABLE)$/) as string,
    });
  });

  test('a folder of their own is good', async () => {
    await using store = await tempStore({ uid: USER_ID });
    expect(await said(store.options)).toEqual({ stdout: 'it runs\n' });
  });
});
