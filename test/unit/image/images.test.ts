import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CaissonError } from '../../../lib/errors/index.js';
import { useImage } from '../../../lib/image/holds.js';
import { importRootfs } from '../../../lib/image/import.js';
import { parsePrune } from '../../../lib/image/request.js';
import { imagesUsage } from '../../../lib/image/usage.js';
import { findImage } from '../../../lib/image/find.js';
import { listImages, tagImage, untagImage, type ImageRecord } from '../../../lib/image/records.js';
import { pruneImages, removeImage } from '../../../lib/image/remove.js';
import { parseFromRootfs } from '../../../lib/image/request.js';
import { mountable, resolveImage } from '../../../lib/image/resolve.js';
import type { ResolvedImage } from '../../../lib/image/resolved-image.js';
import type { ContainerConfig } from '../../../lib/store/index.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';
import { FakeLocker } from '../store/fake-locker.js';
import { fakeParts, source, type FakeParts } from './fake-parts.js';

let folder: TempFolder;
let locker: FakeLocker;
let parts: FakeParts;

beforeEach(async () => {
  folder = await tempFolder();
  locker = new FakeLocker();
  parts = await fakeParts(folder.path, locker);
});
afterEach(async () => {
  await parts.close();
  await folder.remove();
});

const importFrom = (dir: string, config = {}, signal?: AbortSignal): Promise<ImageRecord> =>
  importRootfs(parts, parseFromRootfs(dir, config, signal === undefined ? {} : { signal }));

/** Those of images, each with what is known of it beside it. */
async function layers(): Promise<string[]> {
  const names = (await readdir(parts.store.path('layers'))).filter((name) => name !== 'skeleton');
  const folders = names.filter((name) => !name.endsWith('.json')).sort();
  expect(names.filter((name) => name.endsWith('.json')).sort()).toEqual(
    folders.filter((name) => !name.startsWith('.')).map((name) => `${name}.json`),
  );
  return folders;
}

const json = async (path: string): Promise<unknown> =>
  JSON.parse(await readFile(parts.store.path(path), 'utf8'));

async function containerOf(image: ImageRecord, name: string): Promise<void> {
  const config: ContainerConfig = {
    version: 1,
    id: name,
    name,
    image: image.id,
    imageReference: image.id,
    layers: image.layers,
    labels: {},
    createdAt: new Date().toISOString(),
    keeper: { runtimeId: parts.id, folder: folder.path },
    options: {},
  };
  await locker.lock(folder.path, 'exclusive', false);
  await parts.store.containers.create(config, {}, {});
}

describe('import', () => {
  test('gives a layer, and documents that OCI tools read', async () => {
    const image = await importFrom(await source(folder.path, 'a'), { Env: ['A=b'] });
    await parts.close();
    const [layer] = await layers();
    expect(image).toMatchObject({
      config: { Env: ['A=b'] },
      layers: ['layers/skeleton', `layers/${layer!}`],
      sizeBytes: 2048,
      tags: [],
    });
    expect(await json('images/oci-layout')).toEqual({ imageLayoutVersion: '1.0.0' });
    const manifest = (await json(
      `images/blobs/sha256/${image.manifest.digest.slice(7)}`,
    )) as object;
    expect(manifest).toMatchObject({
      schemaVersion: 2,
      config: { digest: image.id },
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar',
          digest: `sha256:${layer!}`,
          size: 2048,
          annotations: { 'dev.caisson.blob.absent': 'true' },
        },
      ],
    });
    expect(await json(`images/blobs/sha256/${image.id.slice(7)}`)).toMatchObject({
      os: 'linux',
      config: { Env: ['A=b'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${layer!}`] },
    });
    expect(parts.registered.size).toBe(0);
    expect(parts.events.map(({ type }) => type)).toEqual(['image.import']);
  });

  test('the same folder and config is the same image, eight at once too', async () => {
    const dir = await source(folder.path, 'a');
    const images = await Promise.all(Array.from({ length: 8 }, () => importFrom(dir)));
    await parts.close();
    expect(new Set(images.map(({ id }) => id)).size).toBe(1);
    expect(await layers()).toHaveLength(1);
    expect(await listImages(parts.store)).toHaveLength(1);

    const other = await importFrom(dir, { Cmd: ['x'] });
    await parts.close();
    expect(other.id).not.toBe(images[0]!.id);
    expect(other.layers).toEqual(images[0]!.layers);
    expect(await layers()).toHaveLength(1);
  });

  test('a failure says where, and leaves nothing', async () => {
    parts.importError = new CaissonError('ERR_REQUEST_FAILED', {
      action: 'import',
      step: 'importSource',
      errno: 'EACCES',
      syscall: 'openat2',
      detail: 'etc/shadow',
    });
    const dir = await source(folder.path, 'a');
    await expect(importFrom(dir)).rejects.toMatchObject({
      code: 'ERR_IMPORT_FAILED',
      details: { source: dir, path: `${dir}/etc/shadow`, errno: 'EACCES', step: 'importSource' },
      hint: expect.stringContaining('may read'),
    });
    await parts.close();
    expect(await layers()).toEqual([]);
    expect(parts.registered.size).toBe(0);
    expect(await listImages(parts.store)).toEqual([]);
  });

  test('an abort ends the copy, and what it had made goes away', async () => {
    let open!: () => void;
    parts.importGate = new Promise((resolve) => (open = resolve));
    const abort = new AbortController();
    const importing = importFrom(await source(folder.path, 'a'), {}, abort.signal);
    await sleep(20);
    abort.abort(new Error('enough'));
    open();
    await expect(importing).rejects.toMatchObject({
      name: 'AbortError',
      cause: { message: 'enough' },
    });
    await parts.close();
    expect(await layers()).toEqual([]);
    expect(parts.registered.size).toBe(0);
  });

  test.each([
    ['of nothing', () => `${folder.path}/absent`],
    ['of a file', () => `${folder.path}/s/store.json`],
    ['of what holds the store', () => folder.path],
    ['of the store itself', () => parts.root],
    ['of this machine', () => '/'],
  ])('%s is refused', async (_what, dir) => {
    await expect(importFrom(dir())).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'dir' },
    });
  });
});

describe('names', () => {
  test('are found in every spelling, move, and end with the image', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    const b = await importFrom(await source(folder.path, 'b'));
    expect(await tagImage(parts.store, a.id, 'docker.io/library/app:1')).toEqual(['app:1']);
    expect(await tagImage(parts.store, a.id, 'docker.io/library/app:2')).toEqual([
      'app:1',
      'app:2',
    ]);
    for (const spelling of ['app:1', 'library/app:1', 'docker.io/library/app:1']) {
      expect((await findImage(parts.store, spelling)).id).toBe(a.id);
    }
    await expect(findImage(parts.store, 'app')).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });

    expect(await tagImage(parts.store, b.id, 'docker.io/library/app:1')).toEqual(['app:1']);
    expect((await findImage(parts.store, a.id)).tags).toEqual(['app:2']);
    await tagImage(parts.store, b.id, 'docker.io/library/app:2');
    expect((await findImage(parts.store, a.id)).tags).toEqual([]);
    expect((await findImage(parts.store, b.id)).tags).toEqual(['app:1', 'app:2']);
    expect(await listImages(parts.store)).toHaveLength(2);
  });

  test('one is taken away, of the one that has it; the image stays when it was the last', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    const b = await importFrom(await source(folder.path, 'b'));
    for (const tag of ['1', '2']) await tagImage(parts.store, a.id, `docker.io/library/app:${tag}`);
    await tagImage(parts.store, b.id, 'docker.io/library/other:1');
    const untag = (name: string): Promise<readonly string[]> =>
      untagImage(parts.store, a.id, `docker.io/library/${name}`);
    for (const name of ['other:1', 'none:1']) {
      await expect(untag(name)).rejects.toMatchObject({
        code: 'ERR_IMAGE_NOT_FOUND',
        details: { reference: name },
      });
    }
    expect(await untag('app:1')).toEqual(['app:2']);
    expect((await findImage(parts.store, 'app:2')).id).toBe(a.id);
    expect(await untag('app:2')).toEqual([]);
    await expect(findImage(parts.store, 'app:2')).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    expect((await findImage(parts.store, a.id)).tags).toEqual([]);
    expect((await findImage(parts.store, 'other:1')).id).toBe(b.id);
    expect(await listImages(parts.store)).toHaveLength(2);
    expect(await tagImage(parts.store, a.id, 'docker.io/library/app:3')).toEqual(['app:3']);
    expect(await listImages(parts.store)).toHaveLength(2);
  });

  test('an id, or its beginning', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    for (const id of [a.id, a.id.slice(7), a.id.slice(0, 20), a.id.slice(7, 19)]) {
      expect((await findImage(parts.store, id)).id).toBe(a.id);
    }
    await expect(findImage(parts.store, '../../x')).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
  });

  test('twenty tags at once are all there', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    const tag = (i: number) => tagImage(parts.store, a.id, `docker.io/library/app:${i}`);
    await Promise.all(Array.from({ length: 20 }, (_, i) => tag(i)));
    expect((await findImage(parts.store, a.id)).tags).toHaveLength(20);
  });
});

describe('remove', () => {
  test('takes the layer that nobody else uses, and only that', async () => {
    const dir = await source(folder.path, 'a');
    const a = await importFrom(dir);
    const sameLayer = await importFrom(dir, { Cmd: ['x'] });
    await importFrom(await source(folder.path, 'b'));
    await parts.close();
    await removeImage(parts, a.id, { force: false });
    expect(await layers()).toHaveLength(2);
    await removeImage(parts, sameLayer.id, { force: false });
    expect(await layers()).toHaveLength(1);
    expect(await readdir(parts.store.path('images/blobs/sha256'))).toHaveLength(2);
    await expect(removeImage(parts, a.id, { force: false })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
  });

  test('is refused while a container uses it; forced, the layer stays with the container', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    await tagImage(parts.store, a.id, 'docker.io/library/app:1');
    await parts.close();
    await containerOf(a, 'web');
    await expect(removeImage(parts, a.id, { force: false })).rejects.toMatchObject({
      code: 'ERR_IMAGE_IN_USE',
      details: { reference: 'app:1', by: ['web'] },
    });
    await removeImage(parts, a.id, { force: true });
    expect(await layers()).toHaveLength(1);
    await expect(findImage(parts.store, 'app:1')).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
  });

  test('is refused while a call runs from it', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    const ended = useImage(parts, await resolveImage(parts, a.id));
    await expect(removeImage(parts, a.id, { force: false })).rejects.toMatchObject({
      code: 'ERR_IMAGE_IN_USE',
      details: { by: ['1 running call'] },
    });
    ended();
    ended();
    await removeImage(parts, a.id, { force: false });
    await expect(resolveImage(parts, a.id)).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  test('is refused while another program has it; forced, the layer stays', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    await parts.close();
    const other = await fakeParts(folder.path, locker);
    await resolveImage(other, a.id);
    await expect(removeImage(parts, a.id, { force: false })).rejects.toMatchObject({
      code: 'ERR_IMAGE_IN_USE',
      details: { by: ['another program'] },
    });
    await removeImage(parts, a.id, { force: true });
    expect(await layers()).toHaveLength(1);

    // With its end the next removal takes it.
    await other.close();
    const b = await importFrom(await source(folder.path, 'b'));
    await removeImage(parts, b.id, { force: false });
    await parts.close();
    expect(await layers()).toEqual([]);
  });

  test('prune takes what has no name and no user', async () => {
    const a = await importFrom(await source(folder.path, 'a'));
    const b = await importFrom(await source(folder.path, 'b'));
    const c = await importFrom(await source(folder.path, 'c'));
    await tagImage(parts.store, b.id, 'docker.io/library/b:1');
    await containerOf(c, 'web');
    expect(await pruneImages(parts, parsePrune())).toEqual([a.id]);
    expect((await listImages(parts.store)).map(({ id }) => id).sort()).toEqual([b.id, c.id].sort());
    // With a name too, once it is asked for; never what is used.
    expect(await pruneImages(parts, parsePrune({ dangling: false }))).toEqual([b.id]);
  });

  test('prune goes by age and labels', async () => {
    const old = await importFrom(await source(folder.path, 'a'), { Labels: { x: '1' } });
    const before = new Date(Date.now() - 60_000);
    expect(await pruneImages(parts, parsePrune({ until: before }))).toEqual([]);
    expect(await pruneImages(parts, parsePrune({ labels: ['x=2'] }))).toEqual([]);
    expect(await pruneImages(parts, parsePrune({ labels: 'x', until: new Date() }))).toEqual([
      old.id,
    ]);
  });

  test('prune takes what is left of a download, unless somebody is at it', async () => {
    const { blobs } = parts.store.images;
    const digest = `sha256:${'d'.repeat(64)}` as const;
    await blobs.fetch(digest, 9, (blob) => blob.write(Buffer.from('half')));
    await blobs.fetch(digest, 9, async (blob) => {
      expect(blob.offset).toBe(4);
      await pruneImages(parts, parsePrune());
    });
    expect(await blobs.partials()).toMatchObject([{ size: 4 }]);
    expect(await imagesUsage(parts)).toMatchObject({ partialBytes: 4, reclaimableBytes: 4 });
    await pruneImages(parts, parsePrune());
    expect(await blobs.partials()).toEqual([]);
  });

  test('what a lease names stays, blobs too', async () => {
    const { store } = parts;
    const blob = await store.images.blobs.begin();
    await blob.write(Buffer.from('coming'));
    const { digest } = await blob.keep();
    const name = `blobs/${digest.slice(7)}`;
    const lease = await store.leases.take('pull-1', [name], () => Promise.resolve());
    const a = await importFrom(await source(folder.path, 'a'));
    await removeImage(parts, a.id, { force: false });
    expect(await store.images.blobs.sizeOf(digest)).toBe(6);
    lease.release();
    const b = await importFrom(await source(folder.path, 'b'));
    await removeImage(parts, b.id, { force: false });
    expect(await store.images.blobs.sizeOf(digest)).toBeUndefined();
  });

  test('usage counts what is shared, and who uses it', async () => {
    const dir = await source(folder.path, 'a');
    const a = await importFrom(dir);
    await importFrom(dir, { Cmd: ['x'] });
    await importFrom(await source(folder.path, 'b'));
    await containerOf(a, 'web');
    const usage = await imagesUsage(parts);
    expect(usage).toMatchObject({ layerBytes: 4096, partialBytes: 0, reclaimableBytes: 2048 });
    expect(usage.blobBytes).toBeGreaterThan(500);
    expect(usage.images.map(({ sharedBytes, containers }) => [sharedBytes, containers])).toEqual([
      [2048, 1],
      [2048, 0],
      [0, 0],
    ]);
  });
});

describe('resolve', () => {
  test('gives plain values, the skeleton lowest', async () => {
    const a = await importFrom(await source(folder.path, 'a'), { User: '5' });
    const resolved = await resolveImage(parts, a.id);
    expect(structuredClone(resolved)).toEqual({
      id: a.id,
      layers: a.layers,
      config: { User: '5' },
      mounts: [],
    });
    expect(await resolveImage(parts, a.id.slice(7, 20))).toBe(resolved);
  });

  test('more layers than overlay stacks are refused before anything begins', async () => {
    const a = await resolveImage(parts, (await importFrom(await source(folder.path, 'a'))).id);
    const many = (count: number): ResolvedImage => ({
      ...a,
      layers: Array.from({ length: count }, (_, i) => `layers/${i}`),
    });
    expect(mountable(many(500)).layers).toHaveLength(500);
    expect(() => mountable(many(501))).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        details: expect.objectContaining({ what: 'a container of 501 layers' }),
      }),
    );
  });

  test.each([undefined, null, 5, '', {}])('%j is no image', async (image) => {
    await expect(resolveImage(parts, image)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'image' },
    });
  });
});
