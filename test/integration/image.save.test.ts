import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { sha256 } from '../helpers/archive.js';
import { output, startDocker, withStorage } from '../helpers/image-tools.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection } from '../helpers/runtime.js';
import { tempFolder, tempStore, type TempFolder, type TempStore } from '../helpers/temp.js';

// Images that came from a folder, as archives that other tools take.
const { describe, test } = needs('native', 'userns', 'busybox', 'skopeo');

const NAME = 'example.com/team/app:1.2';
let folder: TempFolder;
let rootfs: string;
let store: TempStore;
let runtime: Runtime;
let image: Image;
checkLeaks();

const path = (name: string): string => join(folder.path, name);

beforeAll(async () => {
  folder = await tempFolder();
  rootfs = await busyboxRootfs(path('rootfs'));
  await mkdir(join(rootfs, 'names'));
  await writeFile(join(rootfs, 'names', 'ü'.repeat(100)), 'x');
  await output('ln', join(rootfs, 'etc/passwd'), join(rootfs, 'hard'));
  await output('ln', '-s', 'to/' + 'far/'.repeat(40), join(rootfs, 'link'));
  await output('mkfifo', '-m', '640', join(rootfs, 'fifo'));
  await output('truncate', '-s', '1M', join(rootfs, 'holes'));
  if (process.getuid?.() === 0) {
    await output('mknod', join(rootfs, 'device'), 'c', '1', '3');
    await output('chown', '1000:2000', join(rootfs, 'home/app'));
    await output('setfattr', '-n', 'user.text', '-v', 'a=%', join(rootfs, 'hard')).catch(() => '');
  }
});
afterAll(() => folder.remove());
beforeEach(async () => {
  store = await tempStore();
  runtime = await Runtime.open(store.options);
  image = await Image.fromRootfs(rootfs, { Cmd: ['/bin/sh'] }, { runtime });
  await image.tag(NAME);
});
afterEach(async () => {
  await runtime.close();
  await store.remove();
});

async function save(options?: Parameters<Image['save']>[0], name = 'saved.tar'): Promise<string> {
  await pipeline(image.save(options), createWriteStream(path(name)));
  return path(name);
}

describe('Image.save', () => {
  test.each(['oci', 'docker'] as const)('%s: the same bytes each time; skopeo takes it', async (format) => {
    const file = await save({ format });
    const again = await save({ format }, 'again.tar');
    expect(await output('cmp', file, again)).toBe('');
    const inspected = JSON.parse(await output('skopeo', 'inspect', `${format}-archive:${file}`)) as { Layers: string[] }; // prettier-ignore
    expect(inspected.Layers).toHaveLength(1);
    const config = await output('skopeo', 'inspect', '--raw', '--config', `${format}-archive:${file}`);
    expect(sha256(Buffer.from(config))).toBe(image.id);
  }); // prettier-ignore

  test('its layer is the archive that its diffID is the digest of, and GNU tar reads it', async () => {
    const file = await save();
    const blob = join('blobs/sha256', await diffId());
    const list = `tar -xOf ${file} ${blob} | tar --quoting-style=literal -tf - | grep -v ^bin/`;
    expect((await output('sh', '-c', list)).split('\n')).toEqual(
      expect.arrayContaining(['./', `names/${'ü'.repeat(100)}`, 'hard', 'link', 'fifo', 'holes']),
    );
    const sum = await output('sh', '-c', `tar -xOf ${file} ${blob} | sha256sum`);
    expect(sum.slice(0, 64)).toBe(await diffId());
  });

  async function diffId(): Promise<string> {
    const [layer] = await image.history();
    return layer?.diffId?.slice('sha256:'.length) ?? '';
  }

  test('without a name, and with two', async () => {
    await image.tag('b:2');
    const tags = async (): Promise<string> => await output('tar', '-xOf', await save(), 'manifest.json'); // prettier-ignore
    expect(await tags()).toContain(`["docker.io/library/b:2","${NAME}"]`);
    const other = await Image.fromRootfs(path('rootfs/etc'), {}, { runtime });
    image = other;
    expect(await tags()).toContain('"RepoTags":null');
  });

  test('half read: nothing goes on, and it can be removed', async () => {
    const large = path('large');
    await mkdir(large);
    await output('truncate', '-s', '2G', join(large, 'holes'));
    image = await Image.fromRootfs(large, {}, { runtime });
    const stream = image.save();
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
    await image.remove();
  });

  test('it stays while it is read; what was removed is not there', async () => {
    const stream = image.save();
    const chunks = stream[Symbol.asyncIterator]();
    await chunks.next();
    expect(await rejection(image.remove())).toMatchObject({ code: 'ERR_IMAGE_IN_USE' });
    await chunks.return?.();
    await image.remove();
    expect(await rejection(image.save().toArray())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  test('nobody reads it: nothing begins', async () => {
    image.save();
    await image.remove();
  });

  test('the runtime is closed while it is read', async () => {
    const large = path('closing');
    await mkdir(large);
    await output('truncate', '-s', '2G', join(large, 'holes'));
    image = await Image.fromRootfs(large, {}, { runtime });
    const stream = image.save();
    const chunks = stream[Symbol.asyncIterator]();
    for (let i = 0; i < 20; i++) await chunks.next();
    const rest = rejection(stream.toArray());
    await runtime.close();
    expect(await rest).toMatchObject({ code: expect.stringMatching(/^ERR_(REQUEST_FAILED|STORE_CORRUPT|SUPERVISOR_LOST)$/) }); // prettier-ignore
    expect(await rejection(image.save().toArray())).toMatchObject({ code: 'ERR_RUNTIME_CLOSED' });
  });

  test('a layer that is damaged is not given away', async () => {
    const layer = join(store.root, 'layers', await diffId());
    await writeFile(join(layer, 'etc/passwd'), 'changed');
    expect(await rejection(image.save().toArray())).toMatchObject({ code: 'ERR_STORE_CORRUPT' });
    await rename(layer, `${layer}.away`);
    expect(await rejection(image.save().toArray())).toMatchObject({
      code: 'ERR_REQUEST_FAILED',
      details: { step: 'export', errno: 'ENOENT' },
    });
    await rename(`${layer}.away`, layer);
  });

  test('options are checked, and this machine itself is no archive', async () => {
    const bad = image.save({ format: 'zip' as 'oci' });
    expect(await rejection(bad.toArray())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const unknown = image.save({ formt: 'oci' } as object);
    expect(await rejection(unknown.toArray())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const host = Image.host().save();
    expect(await rejection(host.toArray())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  test('beside a container that runs from it', async () => {
    const [file, { stdout }] = await Promise.all([
      save(),
      Container.run(NAME, ['/bin/sh', '-c', 'stat -c %h /hard'], { runtime }),
    ]);
    expect(stdout).toBe('2\n');
    expect(await output('tar', '-tf', file)).toContain('index.json');
    expect(await readdir(join(store.root, 'layers'))).toContain(await diffId());
  });
});

describe('podman', () => {
  const { test } = needs('root', 'podman');

  test('podman load takes both forms, and has the files as they were', async () => {
    for (const format of ['oci', 'docker'] as const) {
      const file = await save({ format });
      const line = `podman $S load -q -i ${file} >&2
        podman $S image inspect -f '{{.Id}}' ${NAME}
        mount=$(podman $S image mount ${NAME}); stat -c '%a %u:%g %F' $mount/home/app $mount/fifo $mount/device
        cmp $mount/hard $mount/etc/passwd; podman $S image unmount ${NAME} >&2; podman $S rmi -f ${NAME} >&2`;
      expect(await withStorage(folder.path, line)).toBe(
        `${image.id.slice(7)}\n755 1000:2000 directory\n640 0:0 fifo\n644 0:0 character special file\n`,
      );
    }
  });
});

describe('docker', () => {
  const { test } = needs('dockerd');

  test('docker load takes both forms', async () => {
    await using docker = await startDocker(path('docker'));
    for (const format of ['oci', 'docker'] as const) {
      await docker.call('load', '-i', await save({ format }));
      expect((await docker.call('image', 'inspect', '-f', '{{.Id}}', NAME)).trim()).toBe(image.id);
      await docker.call('rmi', NAME);
    }
  });
});
