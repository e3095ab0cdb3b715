// needs: the native part; a busybox
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { output } from '../helpers/image-tools.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();
const folder = fileFolder('from-tar');
const path = (name: string): string => join(folder, name);

let made: Promise<string> | undefined;
/** By GNU tar, of a root that has what an archive can say. */
async function makeTar(): Promise<string> {
  const root = await busyboxRootfs(path('rootfs'));
  await mkdir(join(root, 'names'));
  await writeFile(join(root, 'names', 'ü'.repeat(100)), 'text');
  await symlink('passwd', join(root, 'etc/link'));
  await output('ln', join(root, 'etc/passwd'), join(root, 'hard'));
  await output('mkfifo', join(root, 'fifo'));
  await output('tar', '-cf', path('root.tar'), '-C', root, '--format=pax', '--numeric-owner', '.');
  return path('root.tar');
}
const tar = (): Promise<string> => (made ??= makeTar());
const imported = (source: Readable): Promise<Image> =>
  Image.fromRootfs(source, { Cmd: ['/bin/sh', '-c', 'cat /names/*'] }, { runtime: t.runtime });
const left = async (): Promise<string[]> => [
  ...(await readdir(join(t.store.root, 'layers'))).filter((name) => name !== 'skeleton'),
  ...(await readdir(join(t.store.root, 'images/blobs/sha256')).catch(() => [])),
  ...(await readdir(join(t.store.root, 'images/partial')).catch(() => [])),
];

describe('Image.fromRootfs of a stream', () => {
  test('plain, gzip and zstd: the same layer, and containers run from it', async () => {
    const file = await tar();
    await output('sh', '-c', `gzip -k ${file}; zstd -qk ${file}`);
    const layers: unknown[] = [];
    for (const suffix of ['', '.gz', '.zst']) {
      const image = await imported(createReadStream(file + suffix));
      const { stdout } = await Container.run(image, undefined, { runtime: t.runtime });
      expect(stdout).toBe('text');
      layers.push((await image.history())[0]?.diffId);
      expect(image.sizeBytes).toBeGreaterThan(1_000_000);
    }
    const sum = await output('sha256sum', file);
    expect(new Set(layers)).toEqual(new Set([`sha256:${sum.slice(0, 64)}`]));
    const { stdout } = await Container.run(
      await imported(createReadStream(file)),
      ['/bin/sh', '-c', 'stat -c "%h %F" /hard /fifo; readlink /etc/link; stat -c %a /tmp /root'],
      { runtime: t.runtime },
    );
    expect(stdout).toBe('2 regular file\n1 fifo\npasswd\n1777\n700\n');
  });

  test('the same bytes are the same image, twice at once too; it is saved as it came', async () => {
    const file = await tar();
    const [one, other] = await Promise.all([
      imported(createReadStream(file)),
      imported(createReadStream(file, { highWaterMark: 777_777 })),
    ]);
    expect(other.id).toBe(one.id);
    await pipeline(one.save({ format: 'docker' }), createWriteStream(path('saved.tar')));
    const [copy] = await Image.load(path('saved.tar'), { runtime: t.runtime });
    expect(copy?.id).toBe(one.id);
    await one.remove();
    expect(await left()).toEqual([]);
  });

  test('whiteouts mean what they mean in a layer', async () => {
    const root = path('whiteouts');
    await mkdir(join(root, 'd'), { recursive: true });
    for (const name of ['d/.wh.x', 'd/.wh..wh..opq', 'd/kept'])
      await writeFile(join(root, name), '');
    const stream = new PassThrough();
    const packed = output('tar', '-cf', path('w.tar'), '-C', root, '.');
    await packed;
    const image = await imported(createReadStream(path('w.tar')).pipe(stream));
    await using box = await Container.create({ image, argv: ['/x'], runtime: t.runtime });
    await pipeline(box.export(), createWriteStream(path('whole.tar')));
    const names = (await output('tar', '-tf', path('whole.tar'))).split('\n');
    expect(names.filter((name) => name.startsWith('d'))).toEqual(['d/', 'd/kept', 'dev/']);
  });

  test('what is wrong is said, and nothing is left of it', async () => {
    const file = await tar();
    const bytes = await createReadStream(file).toArray();
    const whole = Buffer.concat(bytes as Buffer[]);
    const broken = Readable.from([whole.subarray(0, 100_000)]);
    const failing = new PassThrough();
    failing.write(whole.subarray(0, 100_000));
    const dead = new PassThrough();
    const wrong: [Readable, object][] = [
      [broken, { code: 'ERR_IMAGE_INVALID' }],
      [failing, { message: 'the line is dead' }],
      [dead, { message: 'it was dead before' }],
      [Readable.from([Buffer.from('no archive, by far')]), { code: 'ERR_IMAGE_INVALID' }],
      [Readable.from([]), { code: 'ERR_IMAGE_INVALID' }],
      [Readable.from([{ an: 'object' }]), { code: 'ERR_INVALID_ARGUMENT' }],
      [Readable.from([Buffer.from('425a6839', 'hex')]), { code: 'ERR_UNSUPPORTED' }],
    ];
    for (const [stream, expected] of wrong) {
      const refused = rejection(imported(stream));
      if (stream === dead) dead.destroy(new Error('it was dead before'));
      if (stream === failing) setTimeout(() => failing.destroy(new Error('the line is dead')), 50);
      expect(await refused).toMatchObject(expected);
      expect(stream.destroyed).toBe(true);
    }
    await expect.poll(left).toEqual([]);
  });

  test('an abort ends it, while it comes and while it is unpacked', async () => {
    const file = await tar();
    for (const delay of [0, 5, 40]) {
      const stop = new AbortController();
      const source = createReadStream(file, { highWaterMark: 4096 });
      const image = Image.fromRootfs(source, {}, { runtime: t.runtime, signal: stop.signal });
      setTimeout(() => stop.abort('enough'), delay);
      expect(await rejection(image)).toMatchObject({ name: 'AbortError', cause: 'enough' });
      expect(source.destroyed).toBe(true);
    }
    await expect.poll(left).toEqual([]);
  });
});
