import { createReadStream, createWriteStream } from 'node:fs';
import { open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { afterAll, beforeAll, expect } from 'vitest';

import type { ArchivedImage, ArchivedReference } from '../../lib/archive/image.js';
import type { Place } from '../../lib/archive/members.js';
import { readArchive } from '../../lib/archive/read.js';
import { writeArchive, type ArchiveFormat, type SavedImage } from '../../lib/archive/write.js';
import { writeTar } from '../../lib/archive/write-tar.js';
import { keeper, sha256 } from '../helpers/archive.js';
import {
  output,
  startDocker,
  umociLayout,
  withStorage,
  type DockerDaemon,
} from '../helpers/image-tools.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { tempFolder, type TempFolder } from '../helpers/temp.js';

// Images that the tools of others have made, and ours in their hands.
const { describe, test } = needs('umoci', 'skopeo', 'busybox');

let folder: TempFolder;
let layout: string;
let id: string;
checkLeaks();

const path = (name: string): string => join(folder.path, name);
const NAME = 'example.com/team/app:1.2';

beforeAll(async () => {
  folder = await tempFolder();
  layout = await umociLayout(folder.path);
  id = (await only(layout)).config.digest;
});
afterAll(() => folder.remove());

async function bytesAt({ path, offset, size }: Place): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(size), 0, size, offset);
    return buffer;
  } finally {
    await file.close();
  }
}

/** Reads it in place and as a stream: both say the same, and each layer is what its digests say. */
async function read(archive: string): Promise<ArchivedReference[]> {
  const kept = await tempFolder();
  try {
    const { takeBlob } = keeper(kept.path);
    const references = await readArchive(archive, { takeBlob });
    const sources = archive.endsWith('.tar') ? [createReadStream(archive)] : [];
    for (const source of sources) {
      const again = await readArchive(source, { takeBlob });
      expect(await facts(again)).toEqual(await facts(references));
    }
    await facts(references);
    return [...references];
  } finally {
    await kept.remove();
  }
}

async function facts(references: readonly ArchivedReference[]): Promise<unknown> {
  const layer = async ({ blob, digest, diffId, mediaType }: ArchivedImage['layers'][0]) => {
    const bytes = await bytesAt(blob);
    if (digest !== undefined) expect(sha256(bytes)).toBe(digest);
    const plain = mediaType.endsWith('gzip') ? await gunzip(bytes) : bytes;
    if (!mediaType.endsWith('zstd')) expect(sha256(plain)).toBe(diffId);
    return [mediaType, digest, diffId, bytes.length];
  };
  return await Promise.all(
    references.map(async ({ names, images }) => [
      names,
      await Promise.all(
        images.map(async ({ config, manifest, platform, layers }) => ({
          ...{ config: config.digest, manifest: manifest?.digest, platform },
          layers: await Promise.all(layers.map(layer)),
        })),
      ),
    ]),
  );
}

async function gunzip(bytes: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of Readable.from([bytes]).pipe(createGunzip()))
    chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function only(archive: string): Promise<ArchivedImage> {
  const [reference, ...more] = await read(archive);
  expect(more).toEqual([]);
  return reference!.images[0];
}

const types = (image: ArchivedImage): string[] =>
  image.layers.map(({ mediaType }) => mediaType.replace(/.*\.tar/, 'tar'));

describe('what others made', () => {
  test('umoci: a layout with tags', async () => {
    await output('umoci', 'tag', '--image', `${layout}:base`, 'other');
    const [reference, ...more] = await read(layout);
    expect(more).toEqual([]);
    expect(reference).toMatchObject({ names: [], images: [{ config: { digest: id } }] });
    expect(types(reference!.images[0])).toEqual(['tar+gzip', 'tar+gzip']);
  });

  test('skopeo: an OCI archive, a docker-archive, a layout with zstd', async () => {
    const from = ['copy', '--quiet', `oci:${layout}:base`];
    await output('skopeo', ...from, `oci-archive:${path('skopeo.tar')}:${NAME}`);
    await output('skopeo', ...from, `docker-archive:${path('skopeo-docker.tar')}:${NAME}`);
    const zstd = ['--dest-compress', '--dest-compress-format', 'zstd'];
    await output('skopeo', ...from, ...zstd, `oci:${path('zstd')}:${NAME}`);
    const oci = await read(path('skopeo.tar'));
    expect(oci).toMatchObject([{ names: [NAME], images: [{ config: { digest: id } }] }]);
    expect(types(oci[0]!.images[0])).toEqual(['tar+gzip', 'tar+gzip']);
    const archive = await read(path('skopeo-docker.tar'));
    expect(archive).toMatchObject([{ names: [NAME], images: [{ config: { digest: id } }] }]);
    expect(types(archive[0]!.images[0])).toEqual(['tar', 'tar']);
    expect(types(await only(path('zstd')))).toEqual(['tar+zstd', 'tar+zstd']);
  });
});

/** The image of the layout, as a store would give it. */
async function savedImage(names: readonly string[]): Promise<SavedImage> {
  const { manifest, layers, ...image } = await only(layout);
  return {
    ...image,
    names,
    manifest: manifest!,
    layers: layers.map(({ mediaType, digest, blob }) => ({
      descriptor: { mediaType, digest: digest!, size: blob.size },
      open: () =>
        createReadStream(blob.path, { start: blob.offset, end: blob.offset + blob.size - 1 }),
    })),
  };
}

async function save(format: ArchiveFormat, names = [NAME]): Promise<string> {
  const file = path(`ours-${format}-${names.length}.tar`);
  await pipeline(
    Readable.from(writeArchive(await savedImage(names), format)),
    createWriteStream(file),
  );
  return file;
}

const FORMATS: ArchiveFormat[] = ['oci', 'docker'];

describe('what we made', () => {
  test.each(FORMATS)('%s: the same bytes each time, and we read it', async (format) => {
    const file = await save(format);
    const sum = await output('sha256sum', file);
    await save(format);
    expect(await output('sha256sum', file)).toBe(sum);
    const [reference] = await read(file);
    expect(reference).toMatchObject({ names: [NAME], images: [{ config: { digest: id } }] });
    expect(await output('tar', '-tvf', file)).not.toMatch(/^(?!.* 0\/0 .* 1970-01-01 )./m);
  });

  test.each(FORMATS)('%s: skopeo takes it', async (format) => {
    const source = `${format}-archive:${await save(format)}`;
    const { Os, Layers } = JSON.parse(await output('skopeo', 'inspect', source)) as { Os: string; Layers: string[] }; // prettier-ignore
    expect([Os, Layers.length]).toEqual(['linux', 2]);
    // Into the same form: Docker's and OCI's differ in the text of the configuration.
    const copy = path(`copy-${format}.tar`);
    await output('skopeo', 'copy', '--quiet', source, `${format}-archive:${copy}:${NAME}`);
    const image = await only(copy);
    expect(image.config.digest).toBe(id);
    if (format === 'oci') expect(image.manifest).toEqual((await only(layout)).manifest);
  });

  test('oci: umoci takes what GNU tar unpacks', async () => {
    const unpacked = path('unpacked');
    await output('mkdir', unpacked);
    await output('tar', '-xf', await save('oci'), '-C', unpacked);
    expect((await readdir(unpacked)).sort()).toEqual(['blobs', 'index.json', 'manifest.json', 'oci-layout']); // prettier-ignore
    expect(await output('umoci', 'stat', '--image', `${unpacked}:${NAME}`)).toContain('umoci');
  });

  test('oci: an image without a name, and one with two', async () => {
    expect(await read(await save('oci', []))).toMatchObject([{ names: [] }]);
    const file = await save('oci', [NAME, 'example.com/b:2']);
    expect(await read(file)).toMatchObject([{ names: [NAME, 'example.com/b:2'] }]);
    expect(await output('skopeo', 'inspect', `oci-archive:${file}:${NAME}`)).toContain('sha256');
    expect(await output('skopeo', 'inspect', `docker-archive:${file}:${NAME}`)).toContain('sha256');
  });
});

describe('podman and buildah', () => {
  const { test } = needs('root', 'buildah', 'podman');

  test('buildah push and podman save, with several names', async () => {
    await withStorage(
      folder.path,
      `id=$(buildah $S pull -q oci:layout:base)
       buildah $S push -q $id oci-archive:$0/buildah.tar:${NAME}
       buildah $S push -q $id docker-archive:$0/buildah-docker.tar:${NAME}
       podman $S tag $id example.com/a:1; podman $S tag $id example.com/b:2
       podman $S save -q --format oci-archive -o podman.tar example.com/a:1
       podman $S save -q --format docker-archive -m -o podman-docker.tar example.com/a:1 example.com/b:2`,
    );
    for (const [name, names] of [
      ['buildah.tar', [NAME]],
      ['buildah-docker.tar', [NAME]],
      ['podman.tar', ['example.com/a:1']],
      ['podman-docker.tar', ['example.com/a:1', 'example.com/b:2']],
    ] as const) {
      const references = await read(path(name));
      expect(references, name).toMatchObject([{ names, images: [{ config: { digest: id } }] }]);
    }
  });

  test('podman loads both, with one name and with two', async () => {
    const TWO = [NAME, 'example.com/b:2'];
    for (const [format, names] of [['oci', [NAME]], ['docker', TWO], ['oci', TWO], ['docker', [NAME]]] as const) {
      const file = await save(format, [...names]);
      const text = await withStorage(
        folder.path,
        `podman $S load -q -i ${file} >&2; podman $S image inspect ${names.join(' ')}; podman $S rmi -f ${NAME} >&2`,
      );
      const images = JSON.parse(text) as { Id: string }[];
      expect(images.map(({ Id }) => `sha256:${Id}`), `${format} ${names.length}`).toEqual(names.map(() => id));
    }
  }); // prettier-ignore
});

describe('docker', () => {
  const { test, missing } = needs('dockerd');
  let docker: DockerDaemon;

  beforeAll(async () => {
    if (missing === null) docker = await startDocker(path('docker'));
  });
  afterAll(async () => {
    if (missing === null) await docker[Symbol.asyncDispose]();
  });

  test('docker save of two images that share a layer, also compressed', async () => {
    await output(
      'skopeo',
      'copy',
      '-q',
      `oci:${layout}:base`,
      `docker-archive:${path('in.tar')}:app:1`,
    );
    await docker.call('load', '-i', path('in.tar'));
    await docker.call('tag', 'app:1', NAME);
    const container = (await docker.call('create', '--network', 'none', 'app:1')).trim();
    const child = (await docker.call('commit', '--change', 'ENV A=b', container, 'child:1')).trim();
    await docker.call('rm', container);
    await docker.call('save', '-o', path('docker.tar'), 'app:1', NAME, 'child:1');
    const references = await read(path('docker.tar'));
    expect(references.map(({ names, images: [{ config }] }) => [names, config.digest])).toEqual(
      expect.arrayContaining([
        [expect.arrayContaining(['app:1', NAME]), id],
        [['child:1'], child],
      ]),
    );
    expect(references).toHaveLength(2);

    await output('gzip', '-k', path('docker.tar'));
    const kept = await tempFolder();
    const again = await readArchive(path('docker.tar.gz'), keeper(kept.path));
    expect(await facts(again)).toEqual(await facts(references));
    await kept.remove();
  });

  test('docker loads both', async () => {
    for (const format of FORMATS) {
      const names = [NAME, 'app:3'];
      await docker.call('rmi', '-f', ...names).catch(() => undefined);
      await docker.call('load', '-i', await save(format, ['docker.io/library/app:3', NAME]));
      const images = JSON.parse(await docker.call('image', 'inspect', ...names)) as { Id: string; RepoTags: string[] }[]; // prettier-ignore
      expect(images.map(({ Id }) => Id)).toEqual([id, id]);
      expect(images[0]?.RepoTags).toEqual(expect.arrayContaining(names));
    }
  });
});

describe('GNU tar and we', () => {
  const long = `${'folder/'.repeat(30)}${'n'.repeat(150)}`;

  test.each(['gnu', 'posix', 'ustar', 'v7', 'oldgnu'])(
    'what it writes as %s we read',
    async (format) => {
      const source = path(`from-${format}`);
      const name = /gnu|posix/.test(format) ? `long/${long}` : 'short';
      await output('mkdir', '-p', join(source, name, '..'));
      await output('cp', '-a', `${layout}/.`, source);
      await writeFile(join(source, name), 'x'.repeat(1000));
      const file = path(`${format}.tar`);
      await output('tar', `--format=${format}`, '-cf', file, '-C', source, '.');
      expect((await only(file)).config.digest).toBe(id);
    },
  );

  test('what we write it reads', async () => {
    const file = path('long.tar');
    const parts = [long, { name: `${long}.txt`, size: 3, data: [Buffer.from('abc')] }];
    await pipeline(Readable.from(writeTar(parts)), createWriteStream(file));
    expect(await output('tar', '-tf', file)).toBe(`${long}/\n${long}.txt\n`);
    expect(await output('tar', '-xOf', file, `${long}.txt`)).toBe('abc');
  });
});
