import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  openStore,
  Store,
  sweep,
  type ContainerConfig,
  type Keeper,
} from '../../../lib/store/index.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';
import { FakeLocker } from './fake-locker.js';

const mode = process.geteuid!() === 0 ? 'root' : 'rootless';
let folder: TempFolder;
let locker: FakeLocker;
let store: Store;
let living: Keeper;
let dead: Keeper;

beforeEach(async () => {
  folder = await tempFolder();
  locker = new FakeLocker();
  const root = join(folder.path, 's');
  await openStore(root, mode);
  store = new Store({ root, mode, locker });
  living = { runtimeId: 'aa', folder: join(folder.path, 'living runtime') };
  dead = { runtimeId: 'bb', folder: join(folder.path, 'dead') };
  await mkdir(living.folder);
  await locker.lock(living.folder, 'exclusive', false);
});
afterEach(async () => await folder.remove());

function config(id: string, name: string, keeper: Keeper = living): ContainerConfig {
  return {
    version: 1,
    id,
    name,
    image: 'sha256:1',
    imageReference: 'x',
    layers: ['layers/skeleton'],
    labels: {},
    createdAt: `2026-01-01T00:00:00.${id.padStart(3, '0').slice(-3)}Z`,
    keeper,
    options: { argv: ['true'] },
  };
}

const create = (id: string, name: string, keeper?: Keeper): Promise<void> =>
  store.containers.create(config(id, name, keeper), { oci: 1 }, { status: 'created' });

describe('records', () => {
  test('what was written is read', async () => {
    await create('a1', 'web');
    const found = await store.containers.find('web');
    expect(found.config).toEqual(config('a1', 'web'));
    expect(found.state).toEqual({ status: 'created' });
    expect(await store.containers.readSpec('a1')).toEqual({ oci: 1 });
    await store.containers.writeState('a1', { status: 'running' });
    expect((await store.containers.read('a1'))?.state).toEqual({ status: 'running' });
  });

  test('found by id, name, beginning of an id; never by a path', async () => {
    await create('abc1', 'one');
    await create('abc2', 'two');
    for (const by of ['abc1', 'one']) {
      expect((await store.containers.find(by)).config.id).toBe('abc1');
    }
    expect((await store.containers.find('abc2')).config.name).toBe('two');
    await expect(store.containers.find('abc')).rejects.toMatchObject({
      code: 'ERR_CONTAINER_AMBIGUOUS',
      details: { matches: 2 },
    });
    for (const nobody of ['', 'x', '../abc1', '.names', '/']) {
      await expect(store.containers.find(nobody)).rejects.toMatchObject({
        code: 'ERR_CONTAINER_NOT_FOUND',
      });
    }
  });

  test('a damaged record is said as that', async () => {
    await create('a1', 'web');
    await writeFile(store.path('containers/a1/config.json'), 'x');
    await expect(store.containers.find('web')).rejects.toMatchObject({
      code: 'ERR_STORE_CORRUPT',
    });
  });
});

describe('names', () => {
  test('of 20 who ask at once, one gets it', async () => {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => create(`a${i}`, 'web')),
    );
    const won = results.flatMap(({ status }, i) => (status === 'fulfilled' ? [`a${i}`] : []));
    expect(won).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject({ code: 'ERR_NAME_IN_USE' });
    }
    expect((await store.containers.find('web')).config.id).toBe(won[0]);
    // The others have left nothing.
    expect(await readdir(store.path('containers'))).toEqual(['.names', won[0]]);
  });

  test('in use says by whom', async () => {
    await create('a1', 'web');
    await expect(create('a2', 'web')).rejects.toMatchObject({
      code: 'ERR_NAME_IN_USE',
      details: { name: 'web', id: 'a1' },
    });
  });

  test('of the dead are free, for one of 20', async () => {
    await create('a1', 'web', dead);
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => create(`b${i}`, 'web')),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('are not given up by who no longer has them', async () => {
    await create('a1', 'web', dead);
    await create('a2', 'web');
    await store.containers.names.release('web', 'a1');
    expect((await store.containers.find('web')).config.id).toBe('a2');
    await store.containers.names.release('web', 'a2');
    await store.containers.names.release('web', 'a2');
    await create('a3', 'web');
  });
});

describe('containers whose runtime is dead', () => {
  const remove = (name: string): Promise<void> =>
    rm(store.path(name), { recursive: true, force: true });

  test('are neither found nor among the living', async () => {
    await create('a1', 'one');
    await create('a2', 'two', dead);
    await create('a3', 'three');
    await expect(store.containers.find('two')).rejects.toMatchObject({
      code: 'ERR_CONTAINER_NOT_FOUND',
    });
    const { alive, dead: left } = await store.containers.list();
    expect(alive.map(({ config: { id } }) => id)).toEqual(['a1', 'a3']);
    expect(left.map(({ config: { id } }) => id)).toEqual(['a2']);
  });

  test('are swept with their names, twice without harm', async () => {
    await create('a1', 'one');
    await create('a2', 'two', dead);
    await sweep({ store, remove });
    await Promise.all([sweep({ store, remove }), sweep({ store, remove })]);
    expect(await readdir(store.path('containers'))).toEqual(['.names', 'a1']);
    expect(await readdir(store.path('containers/.names'))).toEqual(['one']);
  });

  test('a sweep does not take a name that has a new holder', async () => {
    await create('a2', 'two', dead);
    await create('a3', 'two');
    await sweep({ store, remove });
    expect((await store.containers.find('two')).config.id).toBe('a3');
  });
});
