import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { Container, Image, type PushEvent } from '../../lib/index.js';
import { digestAt, imageRegistry } from '../helpers/image-registry.js';
import { busybox, needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('push');
const r = imageRegistry(folder);
const t = testRuntime();

let number = 0;

/** An image of one folder. */
async function imported(text: string): Promise<Image> {
  const root = join(folder, `root-${++number}`);
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync(busybox() ?? '', join(root, 'bin/busybox'));
  symlinkSync('busybox', join(root, 'bin/cat'));
  writeFileSync(join(root, 'text'), text);
  return await Image.fromRootfs(root, { Cmd: ['/bin/cat', '/text'] }, { runtime: t.runtime });
}

async function statusesOf(pushing: AsyncIterable<PushEvent>): Promise<Map<string, string>> {
  const last = new Map<string, string>();
  for await (const { digest, status } of pushing) last.set(digest, status);
  return last;
}

describe('a push', () => {
  test('brings an image of a folder there, and a pull brings the same back', async () => {
    const image = await imported('one\n');
    const name = `${r.registry.host}/one:1`;
    const pushing = image.push(name);
    const statuses = await statusesOf(pushing);
    const digest = await pushing;
    expect([...statuses.values()].filter((status) => status === 'done')).toHaveLength(2);
    expect(digestAt(name)).toBe(digest);

    // Compressed once, the same each time: there is nothing left to send.
    const again = image.push(name);
    expect(new Set((await statusesOf(again)).values())).toEqual(new Set(['exists']));
    expect(await again).toBe(digest);

    await image.remove();
    const back = await Image.pull(name, { runtime: t.runtime });
    expect(back.id).toBe(image.id);
    expect((await Container.run(back, undefined, { runtime: t.runtime })).stdout).toBe('one\n');
  });

  test('of what came from the same registry, layers are taken from there', async () => {
    const image = await imported('two\n');
    await image.push(`${r.registry.host}/two:1`);
    await image.remove();
    const pulled = await Image.pull(`${r.registry.host}/two:1`, { runtime: t.runtime });
    const pushing = pulled.push(`${r.registry.host}/other/two:2`);
    expect(new Set((await statusesOf(pushing)).values())).toEqual(new Set(['mounted']));
    // Byte for byte the same manifest.
    expect(await pushing).toBe(digestAt(`${r.registry.host}/two:1`));
  });

  test('what it has brought to one repository another takes from there; it is known by that digest', async () => {
    const image = await imported('known\n');
    const at = (path: string): string => `${r.registry.host}/${path}`;
    const digest = await image.push(at('known/one:1'));
    expect((await t.runtime.images.get(`${at('known/one')}@${digest}`)).id).toBe(image.id);
    for (const path of ['known/two', 'known/three']) {
      const pushing = image.push(at(`${path}:1`));
      expect(new Set((await statusesOf(pushing)).values())).toEqual(new Set(['mounted']));
      expect(await pushing).toBe(digest);
    }
    expect((await Image.pull(at('known/one:1'), { runtime: t.runtime, policy: 'always' })).id).toBe(image.id); // prettier-ignore
    expect(new Set((await statusesOf(image.push(at('known/one:2')))).values())).toEqual(new Set(['exists'])); // prettier-ignore
    expect((await image.inspect()).sources).toEqual(
      ['one', 'two', 'three'].map((name) => `${at(`known/${name}`)}@${digest}`),
    );
  });

  test('a connection that breaks in the middle of a layer', async () => {
    const image = await imported('three\n');
    let broken = 0;
    r.proxy.fault = (line) => {
      const isLayer = line.startsWith('PUT') && !line.includes(encodeURIComponent(image.id));
      return isLayer && line.includes('/blobs/') && ++broken === 1 ? { kind: 'halve' } : undefined;
    };
    const digest = await image.push(`${r.proxy.host}/three:1`);
    // Once more at least; the registry may not be ready for it at once.
    expect(broken).toBeGreaterThan(1);
    expect(digestAt(`${r.registry.host}/three:1`)).toBe(digest);
    await image.remove();
    const back = await Image.pull(`${r.registry.host}/three:1`, { runtime: t.runtime });
    expect((await Container.run(back, undefined, { runtime: t.runtime })).stdout).toBe('three\n');
  });

  test('gives up when it is told to, and leaves no manifest', async () => {
    const image = await imported('four\n');
    r.proxy.fault = (line) =>
      line.startsWith('PUT') && line.includes('/blobs/') ? { kind: 'stall', after: 0 } : undefined;
    const name = `${r.proxy.host}/four:1`;
    for (const began of ['before', 'PUT']) {
      const stop = new AbortController();
      if (began === 'before') stop.abort(new Error('enough'));
      const pushing = rejection(image.push(name, { signal: stop.signal }));
      const puts = (): number =>
        r.proxy.seen.filter(({ line }) => line.startsWith('PUT /v2/four/')).length;
      // The configuration, and the layer, which is compressed by then.
      while (began === 'PUT' && puts() < 2) await new Promise((resolve) => setTimeout(resolve, 20));
      stop.abort(new Error('enough'));
      expect(await pushing).toMatchObject({ name: 'AbortError', cause: { message: 'enough' } });
    }
    expect(
      await rejection(Image.pull(name, { runtime: t.runtime, policy: 'always' })),
    ).toMatchObject({
      code: 'ERR_MANIFEST_NOT_FOUND',
    });
    // Its blob is kept, compressed: the next one only sends.
    r.proxy.fault = () => undefined;
    const again = image.push(name);
    const statuses = new Set<string>();
    for await (const { status } of again) statuses.add(status);
    expect([...statuses]).not.toContain('compressing');
    expect(await again).toBe(digestAt(r.direct(name)));
  });

  test('is refused for what is no name, and for what is not here', async () => {
    const image = await imported('five\n');
    for (const ref of ['UPPER', `x@sha256:${'a'.repeat(64)}`]) {
      expect(await rejection(image.push(ref))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    expect(await rejection(Image.host().push('x'))).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    await image.remove();
    expect(await rejection(image.push(`${r.registry.host}/five:1`))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
  });
});
