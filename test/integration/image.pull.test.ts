import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { Container, Image, Runtime, type PullEvent } from '../../lib/index.js';
import {
  busyboxLayer,
  digestAt,
  gnuTar,
  imageRegistry,
  onBlobs,
} from '../helpers/image-registry.js';
import type { LayoutImage } from '../helpers/layout.js';
import { needs } from '../helpers/needs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('pull');
const r = imageRegistry(folder);
const t = testRuntime();

const base = (): Buffer => busyboxLayer(folder);
const tarOf = (files: Record<string, string | null>, ...members: string[]): Buffer =>
  gnuTar(folder, files, ...members);

/** What the store has of images. */
async function contents(): Promise<unknown> {
  const { store } = t;
  const layers = readdirSync(join(store.options.root, 'layers'));
  return {
    images: (await t.runtime.images.list()).length,
    layers: layers.filter((name) => name !== 'skeleton'),
    temporary: layers.filter((name) => name.startsWith('.')),
  };
}
const EMPTY = { images: 0, layers: [], temporary: [] };

describe('a pull', () => {
  test('brings an image that runs, and tells how far it is; the second time nothing comes', async () => {
    const second = tarOf({ hello: 'from above\n' }, './hello');
    const name = await r.publish({
      layers: [base(), second],
      config: { Cmd: ['/bin/cat', '/hello'] },
    });
    const events: PullEvent[] = [];
    const pulling = Image.pull(name, { runtime: t.runtime });
    for await (const event of pulling) events.push(event);
    const image = await pulling;
    expect(image.tags).toEqual([name]);
    expect(new Set(events.map(({ layer }) => layer)).size).toBe(2);
    const last = new Map(events.map((event) => [event.digest, event]));
    for (const event of last.values()) {
      expect(event).toMatchObject({ status: 'done', currentBytes: event.totalBytes });
    }
    const run = await Container.run(name, undefined, { runtime: t.runtime });
    expect(run.stdout).toBe('from above\n');

    const before = r.proxy.seen.length;
    const again = Image.pull(name, { runtime: t.runtime, policy: 'always' });
    const statuses = new Set<string>();
    for await (const { status } of again) statuses.add(status);
    expect((await again).id).toBe(image.id);
    expect([...statuses].filter((status) => status !== 'waiting')).toEqual(['exists']);
    const asked = r.proxy.seen.slice(before).map(({ line }) => line);
    expect(asked.filter((line) => !line.endsWith(' /v2/'))).toEqual([
      expect.stringMatching(/^HEAD .*\/manifests\/1$/),
    ]);
    expect((await Image.pull(name, { runtime: t.runtime })).id).toBe(image.id);

    await image.remove();
    expect(await contents()).toEqual(EMPTY);
  });

  test('comes with the first run of a name; by digest too', async () => {
    const name = await r.publish({ layers: [base()], config: { Cmd: ['/bin/ls', '/bin'] } });
    const { stdout } = await Container.run(name, undefined, { runtime: t.runtime });
    expect(stdout).toContain('busybox');
    const repository = name.slice(0, name.lastIndexOf(':'));
    const digest = digestAt(r.direct(name));
    const image = await Image.pull(`${repository}@${digest}`, {
      runtime: t.runtime,
      policy: 'never',
    });
    expect((await t.runtime.images.get(`${repository}@${digest}`)).id).toBe(image.id);
    await image.remove();
    expect(
      await rejection(Image.pull(name, { runtime: t.runtime, policy: 'never' })),
    ).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  test('a layer without the folders above its entries has them from below', async () => {
    const above = tarOf({ 'tmp/x': 'x\n', 'new/y': 'y\n' }, 'tmp/x', 'new/y');
    const name = await r.publish({ layers: [base(), above] });
    const image = await Image.pull(name, { runtime: t.runtime });
    const run = await Container.run(image, ['/bin/stat', '-c', '%a', '/tmp', '/new'], {
      runtime: t.runtime,
    });
    expect(run.stdout).toBe('1777\n755\n');
    // Over another layer it is another one.
    const bare = tarOf({ tmp: null, 'tmp/z': '' }, 'tmp');
    const other = await r.publish({ layers: [base(), bare, above] });
    const second = await Image.pull(other, { runtime: t.runtime });
    const seen = await Container.run(second, ['/bin/stat', '-c', '%a', '/tmp'], {
      runtime: t.runtime,
    });
    expect(seen.stdout).toBe('755\n');
    await image.remove();
    await second.remove();
    expect(await contents()).toEqual(EMPTY);
  });

  test('takes what was removed away, and all of a folder that is opaque', async () => {
    const low = tarOf({ 'a/one': '1', 'a/two': '2', 'b/three': '3' }, './a', './b');
    const high = tarOf(
      { 'a/.wh.one': '', 'b/.wh..wh..opq': '', 'b/four': '4' },
      'a/.wh.one',
      './b',
    );
    const name = await r.publish({ layers: [base(), low, high] });
    const image = await Image.pull(name, { runtime: t.runtime });
    const run = await Container.run(image, ['/bin/sh', '-c', 'ls /a /b'], { runtime: t.runtime });
    expect(run.stdout).toBe('/a:\ntwo\n\n/b:\nfour\n');
    await image.remove();
  });
});

describe('of several platforms', () => {
  const image = (text: string, architecture: string, variant?: string): LayoutImage => ({
    layers: [base(), tarOf({ arch: text }, 'arch')],
    architecture,
    ...(variant === undefined ? {} : { variant }),
  });
  test('this machine’s is taken, or the one that is asked for', async () => {
    const name = await r.publish(
      image('arm', 'arm64', 'v8'),
      image('intel', 'amd64'),
      image('old arm', 'arm', 'v6'),
    );
    const own = await Image.pull(name, { runtime: t.runtime });
    const arm = await Image.pull(name, { runtime: t.runtime, platform: 'linux/arm64' });
    expect(arm.id).not.toBe(own.id);
    const run = await Container.run(own, ['/bin/cat', '/arch'], { runtime: t.runtime });
    expect(run.stdout).toBe({ x64: 'intel', arm64: 'arm' }[process.arch as string]);
    // An arm/v7 machine runs what is made for v6.
    const old = await Image.pull(name, { runtime: t.runtime, platform: 'linux/arm/v7' });
    expect(new Set([own.id, arm.id, old.id]).size).toBe(3);
    expect(
      await rejection(Image.pull(name, { runtime: t.runtime, platform: 'linux/s390x' })),
    ).toMatchObject({
      code: 'ERR_PLATFORM_NOT_FOUND',
      details: {
        platform: 'linux/s390x',
        available: ['linux/arm64', 'linux/amd64', 'linux/arm/v6'],
      },
    });
  });
});

describe('when something is wrong', () => {
  test('what was cut off is gone on with, in the same pull', async () => {
    const name = await r.publish({ layers: [base()] });
    r.proxy.fault = onBlobs({ kind: 'cut', after: 100_000 }, 2);
    const image = await Image.pull(name, { runtime: t.runtime });
    expect(r.proxy.seen.filter(({ from }) => from > 0).length).toBeGreaterThan(0);
    const run = await Container.run(image, ['/bin/ls', '/bin'], { runtime: t.runtime });
    expect(run.exitCode).toBe(0);
  });

  test('an abort leaves what came, and the next pull goes on there', async () => {
    const name = await r.publish({ layers: [base()] });
    r.proxy.fault = onBlobs({ kind: 'stall', after: 300_000 });
    const stop = new AbortController();
    const pulling = Image.pull(name, { runtime: t.runtime, signal: stop.signal });
    for await (const { status, currentBytes } of pulling) {
      if (status === 'downloading' && currentBytes >= 100_000) break;
    }
    stop.abort(new Error('enough'));
    expect(await rejection(pulling)).toMatchObject({
      name: 'AbortError',
      cause: { message: 'enough' },
    });
    expect(await contents()).toEqual(EMPTY);
    expect((await t.runtime.diskUsage()).images.partialBytes).toBeGreaterThan(0);

    r.proxy.fault = () => undefined;
    const before = r.proxy.seen.length;
    const image = await Image.pull(name, { runtime: t.runtime });
    expect(r.proxy.seen.slice(before).some(({ from }) => from >= 100_000)).toBe(true);
    expect((await t.runtime.diskUsage()).images.partialBytes).toBe(0);
    const run = await Container.run(image, ['/bin/ls', '/bin'], { runtime: t.runtime });
    expect(run.exitCode).toBe(0);
  });

  test('a damaged blob is none, and nothing of it is kept', async () => {
    const name = await r.publish({ layers: [base()] });
    r.proxy.fault = onBlobs({ kind: 'damage', at: 200_000 });
    expect(await rejection(Image.pull(name, { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_DIGEST_MISMATCH',
    });
    expect(await contents()).toEqual(EMPTY);
    expect((await t.runtime.diskUsage()).images.partialBytes).toBe(0);
    r.proxy.fault = () => undefined;
    const image = await Image.pull(name, { runtime: t.runtime });
    const run = await Container.run(image, ['/bin/ls', '/bin'], { runtime: t.runtime });
    expect(run.exitCode).toBe(0);
  });

  test('a layer with other contents than the configuration says', async () => {
    const name = await r.publish({ layers: [base()], diffIds: [`sha256:${'0'.repeat(64)}`] });
    expect(await rejection(Image.pull(name, { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_IMAGE_INVALID',
      details: { reason: expect.stringContaining('has the contents') as string },
    });
    expect(await contents()).toEqual(EMPTY);
  });

  test('no such image, no such server', async () => {
    expect(
      await rejection(Image.pull(`${r.proxy.host}/nothing:1`, { runtime: t.runtime })),
    ).toMatchObject({ code: 'ERR_MANIFEST_NOT_FOUND' });
    expect(await rejection(Image.pull('127.0.0.1:1/x', { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
    });
    for (const [ref, options] of [
      ['UPPER', {}],
      ['x', { policy: 'sometimes' }],
      ['x', { platform: 'a/b/c/d' }],
      ['x', { auth: 7 }],
    ] as const) {
      expect(
        await rejection(Image.pull(ref, { runtime: t.runtime, ...options } as object)),
      ).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
  });
});

test('two who pull the same at once download it once', async () => {
  const name = await r.publish({ layers: [base(), tarOf({ a: 'a' }, 'a')] });
  const before = r.proxy.seen.length;
  const other = await Runtime.open(t.store.options);
  try {
    const [a, b, c] = await Promise.all([
      Image.pull(name, { runtime: t.runtime }),
      Image.pull(name, { runtime: other }),
      Image.pull(name, { runtime: t.runtime }),
    ]);
    expect(new Set([a.id, b.id, c.id]).size).toBe(1);
    const blobs = r.proxy.seen.slice(before).filter(({ line }) => line.includes('/blobs/'));
    const config = blobs.filter(({ line }) => blobs.filter((one) => one.line === line).length > 1);
    expect(new Set(config.map(({ line }) => line)).size).toBeLessThanOrEqual(1);
    expect(blobs.length - config.length).toBe(2);
  } finally {
    await other.close();
  }
});

test('other tools read the store in place', async () => {
  const name = await r.publish({ layers: [base()], config: { Env: ['A=b'] } });
  await Image.pull(name, { runtime: t.runtime });
  const layout = `oci:${join(t.store.options.root, 'images')}`;
  const read = execFileSync('skopeo', ['inspect', `${layout}:${name}`]).toString();
  expect(JSON.parse(read)).toMatchObject({ Env: ['A=b'], Architecture: 'amd64' });
  if (rootless) return;
  const bundle = join(folder, 'bundle');
  execFileSync('umoci', ['unpack', '--image', `${layout.slice(4)}:${name}`, bundle]);
  expect(readdirSync(join(bundle, 'rootfs/bin'))).toContain('busybox');
  await rm(bundle, { recursive: true });
});
