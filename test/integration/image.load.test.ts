import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { Layout, named, tarOf, tarOfFiles, writeFiles } from '../helpers/archive.js';
import { output, startDocker, umociLayout } from '../helpers/image-tools.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection } from '../helpers/runtime.js';
import { tempFolder, tempStore, type TempFolder, type TempStore } from '../helpers/temp.js';

// Archives that other tools have made become images that run, and images archives that other tools take.
const { describe, test } = needs('native', 'userns', 'busybox', 'umoci', 'skopeo');

const NAME = 'example.com/team/app:1.2';
let folder: TempFolder;
let layout: string;
let archive: string;
let store: TempStore;
let runtime: Runtime;
checkLeaks();

const path = (name: string): string => join(folder.path, name);

beforeAll(async () => {
  folder = await tempFolder();
  layout = await umociLayout(folder.path);
  archive = path('skopeo.tar');
  await output('skopeo', 'copy', '-q', `oci:${layout}:base`, `oci-archive:${archive}:${NAME}`);
});
afterAll(() => folder.remove());
beforeEach(async () => {
  store = await tempStore();
  runtime = await Runtime.open(store.options);
});
afterEach(async () => {
  await runtime.close();
  await store.remove();
});

const load = (source: string | Readable): Promise<Image[]> => Image.load(source, { runtime });

async function run(image: Image | string, ...argv: string[]): Promise<string> {
  const { stdout, stderr } = await Container.run(image, ['/bin/busybox', ...argv], { runtime });
  expect(stderr).toBe('');
  return stdout;
}

/** Nothing that was begun is left; the leak check looks at what it took. */
async function expectEmpty(): Promise<void> {
  expect(await runtime.images.list()).toEqual([]);
  const layers = (await readdir(join(store.root, 'layers'))).filter((name) => name !== 'skeleton');
  expect(layers.filter((name) => name.startsWith('.'))).toEqual([]);
  const partial = join(store.root, 'images/partial');
  for (const name of existsSync(partial) ? await readdir(partial) : []) {
    expect((await stat(join(partial, name))).size).toBe(0);
  }
}

async function save(image: Image, options?: Parameters<Image['save']>[0]): Promise<Buffer> {
  return Buffer.concat(await image.save(options).toArray());
}

describe('Image.load', () => {
  test('a layout, an archive, a stream: the same image, which runs', async () => {
    const docker = path('docker.tar');
    await output('skopeo', 'copy', '-q', `oci:${layout}:base`, `docker-archive:${docker}:b:2`);
    const [first, ...none] = await load(archive);
    expect(none).toEqual([]);
    expect(first?.tags).toEqual([NAME]);
    expect(first?.config.Cmd).toEqual(['/bin/busybox']);
    expect(await run(NAME, 'cat', '/second')).toBe('second\n');

    const gzip = gzipSync(await readFile(archive));
    for (const source of [layout, docker, createReadStream(docker), Readable.from([gzip])]) {
      const [image] = await load(source);
      expect(image?.id).toBe(first?.id);
    }
    // The docker-archive has no manifest: another one was made, of the same configuration.
    expect(await run('b:2', 'cat', '/second')).toBe('second\n');
  });

  test('from a stream into an empty store', async () => {
    const [image] = await load(createReadStream(archive, { highWaterMark: 1000 }));
    expect(image?.tags).toEqual([NAME]);
    expect(await run(NAME, 'cat', '/second')).toBe('second\n');
    expect(await readdir(join(store.root, 'images/partial'))).toEqual([]);
    expect(await output('skopeo', 'inspect', `oci:${store.root}/images:${NAME}`)).toContain(
      'linux',
    );
  });

  test('gzip layers of a docker-archive, which nothing describes', async () => {
    const [image] = await load(archive);
    const file = path('gz.tar');
    await pipeline(image!.save({ format: 'docker' }), createWriteStream(file));
    await image!.remove();
    for (const source of [file, createReadStream(file)]) {
      const [again] = await load(source);
      expect(again?.id).toBe(image?.id);
      expect(await run(NAME, 'cat', '/second')).toBe('second\n');
      await again?.remove();
    }
  });

  test('folders that a layer leaves out are as in the layers below', async () => {
    const lower = tarOf([
      { name: 'bin/', type: '5', mode: 0o755 },
      { name: 'bin/busybox', data: await readFile(path('root/bin/busybox')), mode: 0o755 },
      { name: 'deep/', type: '5', mode: 0o750 },
    ]);
    const upper = tarOf([{ name: 'deep/file', data: 'text' }]);
    const made = new Layout();
    made.list([named(made.image([lower, upper]), 'deep:1')]);
    await load(await writeFiles(path('deep'), made.files));
    expect(await run('deep:1', 'stat', '-c', '%a', '/deep')).toBe('750\n');
    expect(await run('deep:1', 'cat', '/deep/file')).toBe('text');
  });

  test('what was the lowest layer of an image still removes files in another', async () => {
    const lower = tarOf([
      { name: 'bin/', type: '5', mode: 0o755 },
      { name: 'bin/busybox', data: await readFile(path('root/bin/busybox')), mode: 0o755 },
      { name: 'deep/', type: '5', mode: 0o750 },
      { name: 'deep/secret', data: 'text' },
    ]);
    const upper = tarOf([
      { name: 'deep/.wh.secret', data: '' },
      { name: 'deep/file', data: 'text' },
    ]);
    const made = new Layout();
    made.list([named(made.image([upper]), 'alone:1')]);
    await load(await writeFiles(path('alone'), made.files));
    const both = new Layout();
    both.list([named(both.image([lower, upper]), 'both:2')]);
    await load(await writeFiles(path('both-layers'), both.files));
    expect(await run('both:2', 'ls', '/deep')).toBe('file\n');
    expect(await run('both:2', 'stat', '-c', '%a', '/deep')).toBe('750\n');
    // And the other way round: alone it hides nothing, and shows no trace of that.
    both.list([named(both.image([upper, lower]), 'turned:2')]);
    await load(await writeFiles(path('turned'), both.files));
    expect(await run('turned:2', 'ls', '/deep')).toBe('file\nsecret\n');
  });

  test('of several platforms this machine’s', async () => {
    const made = new Layout();
    const layer = [tarOf([{ name: 'file', data: 'x' }])];
    const other = made.image(layer, { os: 'linux', architecture: 's390x' });
    const own = made.image(layer, { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch }); // prettier-ignore
    made.list([named(made.index([other, own]), 'both:1')]);
    const [image, ...none] = await load(await writeFiles(path('both'), made.files));
    expect([image?.tags, none]).toEqual([['both:1'], []]);

    made.list([named(made.index([other, { ...other }]), 'other:1')]);
    const call = load(await writeFiles(path('other'), made.files));
    expect(await rejection(call)).toMatchObject({ code: 'ERR_PLATFORM_NOT_FOUND' });
  });

  test('all of them or none: a layer that is damaged', async () => {
    const made = new Layout();
    const good = tarOf([{ name: 'file', data: 'good' }]);
    const bad = tarOf([{ name: 'file', data: 'bad' }]);
    made.list([named(made.image([good]), 'good:1'), named(made.image([bad]), 'bad:1')]);
    const name = [...made.files.keys()].find((one) => made.files.get(one)?.equals(bad)) ?? '';
    made.files.set(name, tarOf([{ name: 'file', data: 'worse' }]));
    const tar = path('damaged.tar');
    await writeFile(tar, tarOfFiles(made.files));
    for (const source of [
      tar,
      createReadStream(tar),
      await writeFiles(path('damaged'), made.files),
    ]) {
      expect(await rejection(load(source))).toMatchObject({
        code: 'ERR_IMAGE_ARCHIVE_INVALID',
        details: { member: name },
      });
      await expectEmpty();
    }
  });

  test('a layer that is none, and one that is not what its diffID says', async () => {
    const made = new Layout();
    made.list([made.image(['this is no tar archive, however long it may be'.repeat(100)])]);
    expect(await rejection(load(await writeFiles(path('none'), made.files)))).toMatchObject({
      code: 'ERR_IMAGE_INVALID',
    });
    const wrong = new Layout();
    const layer = tarOf([{ name: 'file', data: 'x' }]);
    wrong.list([
      wrong.image([layer], undefined, (manifest) => ({
        ...manifest,
        layers: [wrong.blob(tarOf([{ name: 'file', data: 'y' }]), 'application/vnd.oci.image.layer.v1.tar')],
      })),
    ]); // prettier-ignore
    expect(await rejection(load(await writeFiles(path('wrong'), wrong.files)))).toMatchObject({
      code: 'ERR_IMAGE_INVALID',
    });
    await expectEmpty();
  });

  test('an archive that is cut off, and one that is none', async () => {
    const tar = path('cut.tar');
    await writeFile(tar, await readFile(archive));
    await truncate(tar, 300_000);
    for (const source of [tar, createReadStream(tar), path('second')]) {
      expect(await rejection(load(source))).toMatchObject({ code: 'ERR_IMAGE_ARCHIVE_INVALID' });
    }
    expect(await rejection(load(path('nowhere')))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(await rejection(Image.load(archive, { nam: 1 } as object))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    await expectEmpty();
  });

  test('an abort leaves nothing', async () => {
    const bytes = await readFile(archive);
    const stalled = Readable.from(
      (async function* () {
        yield bytes.subarray(0, 200_000);
        await new Promise(() => undefined);
      })(),
    );
    for (const source of [stalled, archive]) {
      const controller = new AbortController();
      const call = Image.load(source, { runtime, signal: controller.signal });
      setTimeout(() => controller.abort(), 5);
      expect(await rejection(call)).toMatchObject({ name: 'AbortError' });
    }
    expect(await runtime.images.list()).toEqual([]);
    expect(await rejection(Image.load(archive, { runtime, signal: AbortSignal.abort() }))).toMatchObject({ name: 'AbortError' }); // prettier-ignore
  });

  test('by two programs at once', async () => {
    await using second = await Runtime.open({ ...store.options });
    const loads = [runtime, second, runtime, second].map((one) => one.images.load(archive));
    const ids = (await Promise.all(loads)).flat().map(({ id }) => id);
    expect(new Set(ids).size).toBe(1);
    expect(await runtime.images.list()).toHaveLength(1);
    expect(await run(NAME, 'cat', '/second')).toBe('second\n');
  });
});

describe('Image.save', () => {
  test('what was loaded, the same bytes each time and from each store', async () => {
    const [image] = await load(archive);
    await using other = await tempStore();
    await using second = await Runtime.open(other.options);
    for (const format of ['oci', 'docker'] as const) {
      const bytes = await save(image!, { format });
      const [copy] = await Image.load(Readable.from([bytes]), { runtime: second });
      expect([copy?.id, copy?.tags]).toEqual([image?.id, [NAME]]);
      if (format === 'docker') continue;
      expect((await save(copy!, { format })).equals(bytes)).toBe(true);
      expect((await save(image!, { format })).equals(bytes)).toBe(true);
    }
  });

  test('what came from a folder, as the archive that its digest is of', async () => {
    const rootfs = await busyboxRootfs(path('rootfs'));
    await mkdir(join(rootfs, 'names'));
    await writeFile(join(rootfs, 'names', 'ü'.repeat(100)), 'x');
    await output('ln', join(rootfs, 'etc/passwd'), join(rootfs, 'hard'));
    await output('mkfifo', join(rootfs, 'fifo'));
    await output('truncate', '-s', '1M', join(rootfs, 'holes'));
    const image = await Image.fromRootfs(rootfs, { Cmd: ['/bin/sh'] }, { runtime });
    await image.tag(NAME);
    const bytes = await save(image);
    const file = path('folder.tar');
    await writeFile(file, bytes);
    expect(await output('skopeo', 'inspect', `oci-archive:${file}`)).toContain('sha256');

    await using other = await tempStore();
    await using second = await Runtime.open(other.options);
    const [copy] = await second.images.load(file);
    expect([copy?.id, copy?.tags, copy?.sizeBytes]).toEqual([image.id, [NAME], image.sizeBytes]);
    const line = ['/bin/sh', '-c', 'cmp /hard /etc/passwd && stat -c %h /hard && stat -c %s /holes; ls -l /fifo | cut -c1'];
    const { stdout } = await second.containers.run(NAME, line);
    expect(stdout).toBe('2\n1048576\np\n');
    expect((await save(copy!)).equals(bytes)).toBe(true);
  }); // prettier-ignore

  test('half read: nothing goes on', async () => {
    const rootfs = await busyboxRootfs(path('half'));
    await output('truncate', '-s', '1G', join(rootfs, 'holes'));
    const image = await Image.fromRootfs(rootfs, {}, { runtime });
    const stream = image.save();
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
    await image.remove();
    expect(await runtime.images.list()).toEqual([]);
  });

  test('it stays while it is read', async () => {
    const [image] = await load(archive);
    const stream = image!.save();
    const chunks = stream[Symbol.asyncIterator]();
    await chunks.next();
    expect(await rejection(image!.remove())).toMatchObject({ code: 'ERR_IMAGE_IN_USE' });
    await chunks.return?.();
    await image!.remove();
    const removed = image!.save();
    expect(await rejection(removed.toArray())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  test('a blob that is damaged is not given away', async () => {
    const [image] = await load(archive);
    const blobs = join(store.root, 'images/blobs/sha256');
    const sizes = await Promise.all((await readdir(blobs)).map(async (name) => ({ name, size: (await stat(join(blobs, name))).size }))); // prettier-ignore
    const [largest] = sizes.sort((a, b) => b.size - a.size);
    const bytes = await readFile(join(blobs, largest!.name));
    bytes[1000] = ~bytes[1000]!;
    await writeFile(join(blobs, largest!.name), bytes);
    expect(await rejection(image!.save().toArray())).toMatchObject({ code: 'ERR_STORE_CORRUPT' });
    await truncate(join(blobs, largest!.name), 1000);
    expect(await rejection(image!.save().toArray())).toMatchObject({ code: 'ERR_STORE_CORRUPT' });
  });

  test('options are checked, and this machine itself is no archive', async () => {
    const [image] = await load(archive);
    const bad = image!.save({ format: 'zip' as 'oci' });
    expect(await rejection(bad.toArray())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const host = Image.host().save();
    expect(await rejection(host.toArray())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });
});

describe('docker', () => {
  const { test } = needs('dockerd');

  test('docker load takes both forms, and what docker save gives comes back', async () => {
    await using docker = await startDocker(path('docker'));
    const rootfs = await busyboxRootfs(path('docker-rootfs'));
    const image = await Image.fromRootfs(rootfs, { Cmd: ['/bin/sh'] }, { runtime });
    await image.tag('folder:1');
    for (const format of ['oci', 'docker'] as const) {
      const file = path(`ours-${format}.tar`);
      await pipeline(image.save({ format }), createWriteStream(file));
      await docker.call('load', '-i', file);
      expect((await docker.call('image', 'inspect', '-f', '{{.Id}}', 'folder:1')).trim()).toBe(image.id);
      await docker.call('tag', 'folder:1', 'again:1');
      await docker.call('rmi', 'folder:1');
    }
    await docker.call('save', '-o', path('theirs.tar'), 'again:1');
    const [back] = await load(path('theirs.tar'));
    expect(back?.id).toBe(image.id);
    expect(await run('again:1', 'cat', '/etc/group')).toContain('root');
  }); // prettier-ignore
});
