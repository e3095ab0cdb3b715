import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';

import { Container, Image, type Platform } from '../../lib/index.js';
import { busyboxLayer, gnuTar, imageRegistry, skopeoCopy } from '../helpers/image-registry.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

// Images of every kind that registries have, and what is no image.
const { describe, test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('kinds');
const r = imageRegistry(folder);
const t = testRuntime();

const pull = (ref: string, options: object = {}): Promise<Image> =>
  Image.pull(ref, { runtime: t.runtime, ...options });
const sh = async (image: Image, line: string): Promise<string> => {
  const run = await Container.run(image, ['/bin/sh', '-c', line], { runtime: t.runtime });
  expect(run.stderr).toBe('');
  return run.stdout;
};
const zstd = (bytes: Buffer): Buffer =>
  execFileSync('zstd', ['-qc'], { input: bytes, maxBuffer: 1 << 28 });
/** A layer with one file. */
const file = (name: string, text = name): Buffer => gnuTar(folder, { [name]: text }, name);

describe('layers', () => {
  test.each<[string, (tar: Buffer) => Buffer]>([
    ['tar', (tar) => tar],
    ['tar+zstd', zstd],
    [
      'tar+gzip',
      (tar) => Buffer.concat([gzipSync(tar.subarray(0, 5000)), gzipSync(tar.subarray(5000))]),
    ],
  ])('%s', async (type, compress) => {
    const layerType = `application/vnd.oci.image.layer.v1.${type}`;
    const layers = [busyboxLayer(folder), file('above')];
    const image = await pull(await r.publish({ layers, compress, layerType }));
    expect(await sh(image, 'cat /above')).toBe('above');
  });

  test('the same one several times', async () => {
    const again = gnuTar(folder, { again: 'once', 'd/x': '' }, 'again', './d');
    const between = gnuTar(
      folder,
      { again: 'twice', 'd/.wh..wh..opq': '', 'd/y': '' },
      'again',
      './d',
    );
    const layers = [again, busyboxLayer(folder), again, between, again, again];
    const image = await pull(await r.publish({ layers }));
    expect(await sh(image, 'cat /again; ls /d')).toBe('oncex\ny\n');
    expect(await image.history()).toHaveLength(6);
    const below = await pull(await r.publish({ layers: layers.slice(0, 4) }));
    expect(await sh(below, 'cat /again; ls /d')).toBe('twicey\n');
    await image.remove();
    await below.remove();
    expect((await t.runtime.diskUsage()).images.layerBytes).toBe(0);
  });

  test('none', async () => {
    const image = await pull(await r.publish({ layers: [] }));
    expect([image.sizeBytes, await image.history()]).toEqual([0, []]);
    expect(
      await rejection(Container.run(image, ['/bin/sh'], { runtime: t.runtime })),
    ).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
  });
});

describe('manifests', () => {
  test('of Docker’s schema 2, and its list of several platforms', async () => {
    const layers = [busyboxLayer(folder), file('which', 'mine')];
    const name = await r.publish(
      { layers: [busyboxLayer(folder), file('which', 'theirs')], architecture: 's390x' },
      { layers, architecture: process.arch === 'x64' ? 'amd64' : process.arch },
    );
    const docker = name.replace(/:1$/, ':docker');
    skopeoCopy(`docker://${r.direct(name)}`, `docker://${r.direct(docker)}`, '--all', '--format', 'v2s2');
    const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${r.direct(docker)}`], { encoding: 'utf8' });
    expect(JSON.parse(raw)).toMatchObject({ mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json' });
    expect(await sh(await pull(docker), 'cat /which')).toBe('mine');
    const single = name.replace(/:1$/, ':single');
    skopeoCopy(`docker://${r.direct(docker)}`, `docker://${r.direct(single)}`);
    expect(await sh(await pull(single), 'cat /which')).toBe('mine');
  }); // prettier-ignore
});

describe('platforms', () => {
  const foreign = (architecture: string, variant?: string) =>
    r.publish({
      layers: [file(architecture)],
      architecture,
      ...(variant === undefined ? {} : { variant }),
    });

  async function warnings(work: () => Promise<unknown>): Promise<string[]> {
    const heard: (Error & { code?: string })[] = [];
    const hear = (warning: Error): void => void heard.push(warning);
    process.on('warning', hear);
    try {
      await work();
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off('warning', hear);
    }
    return heard
      .filter(({ code }) => code === 'CAISSON_FOREIGN_PLATFORM')
      .map(({ message }) => message);
  }

  test('one that this machine does not run: a warning, once, when it comes', async () => {
    const name = await foreign('s390x');
    const [heard, ...more] = await warnings(() => pull(name));
    expect(more).toEqual([]);
    expect(heard).toContain(name);
    expect(heard).toContain('linux/s390x');
    expect(await warnings(() => pull(name))).toEqual([]);
    const own = await r.publish({ layers: [file('own')] });
    expect(await warnings(() => pull(own))).toEqual([]);
  });

  test('an image of one platform is refused to who asked for another', async () => {
    const name = await foreign('arm', 'v6');
    expect(await rejection(pull(name, { platform: 'linux/arm64' }))).toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
      details: { platform: 'linux/arm64', available: ['linux/arm/v6'] },
    });
    expect(await t.runtime.images.list()).toEqual([]);
    // It runs where v7 does.
    await pull(name, { platform: 'linux/arm/v7' });
    expect(
      await rejection(pull(name, { platform: 'linux/arm/v5', policy: 'always' })),
    ).toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
    });
  });

  test('what is not of Linux is refused', async () => {
    const platform = 'windows/amd64' satisfies `${Platform['os']}/${Platform['architecture']}`;
    expect(await rejection(pull('example.invalid/x', { platform }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: expect.stringContaining('windows/amd64') },
    });
  });
});

test('what is no image is refused by what it is, and leaves nothing', async () => {
  const name = await r.publish({ layers: [file('chart')], layerType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip' });
  expect(await rejection(pull(name))).toMatchObject({
    code: 'ERR_UNSUPPORTED',
    message: expect.stringContaining('helm.chart.content'),
  });
  expect(await t.runtime.images.list()).toEqual([]);
  expect(await t.runtime.diskUsage()).toMatchObject({ images: { layerBytes: 0, blobBytes: 0, partialBytes: 0 } });
}); // prettier-ignore
