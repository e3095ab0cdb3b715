import { statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { findImage } from '../../lib/image/find.js';
import { partsOf } from '../../lib/runtime/runtime.js';
import { hexOf } from '../../lib/store/digest.js';
import {
  busyboxLayer,
  digestAt,
  gnuTar,
  imageRegistry,
  skopeoCopy,
} from '../helpers/image-registry.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

// Which image a name means: here, and at its registry.
const { describe, test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('names');
const r = imageRegistry(folder);
const t = testRuntime();

let count = 0;
/** An image that says what it is. */
const publish = (text: string): Promise<string> =>
  r.publish({
    layers: [busyboxLayer(folder), gnuTar(folder, { text: `${text} ${++count}` }, 'text')],
    config: { Cmd: ['/bin/cat', '/text'] },
  });
/** The registry's `to` becomes what `from` is. */
const moved = (from: string, to: string): void =>
  skopeoCopy(`docker://${r.direct(from)}`, `docker://${r.direct(to)}`);
const pull = (ref: string, options: object = {}): Promise<Image> =>
  Image.pull(ref, { runtime: t.runtime, ...options });
const said = async (image: Image | string): Promise<string> =>
  (await Container.run(image, undefined, { runtime: t.runtime })).stdout;
const repositoryOf = (name: string): string => name.slice(0, name.lastIndexOf(':'));

/** What was asked of the registry meanwhile: manifests and blobs. */
async function asking<T>(work: () => Promise<T>): Promise<{ result: T; asked: string[] }> {
  const before = r.proxy.seen.length;
  const result = await work();
  const lines = r.proxy.seen.slice(before).map(({ line }) => line);
  return { result, asked: lines.filter((line) => /manifests|blobs/.test(line)) };
}

describe('the policy', () => {
  test('of an image that is not here: `never` asks nobody, the others bring it', async () => {
    const name = await publish('absent');
    const { result, asked } = await asking(() => rejection(pull(name, { policy: 'never' })));
    expect(result).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND', details: { reference: name } });
    expect(asked).toEqual([]);
    for (const policy of ['missing', 'always']) {
      const image = await pull(name, { policy });
      expect(image.tags).toEqual([name]);
      await image.remove();
    }
  });

  test('of one whose name has moved since: only `always` takes the new one', async () => {
    const name = await publish('old');
    const old = await pull(name);
    moved(await publish('new'), name);
    for (const policy of ['never', 'missing']) {
      const { result, asked } = await asking(() => pull(name, { policy }));
      expect([result.id, asked]).toEqual([old.id, []]);
    }
    const young = await pull(name, { policy: 'always' });
    expect(await said(name)).toMatch(/^new/);
    // The other one stays, nameless.
    expect((await t.runtime.images.get(old.id)).tags).toEqual([]);
    expect(await said(old)).toMatch(/^old/);
    expect(await t.runtime.images.prune()).toEqual([old.id]);
    expect((await t.runtime.images.get(name)).id).toBe(young.id);
  });

  test('`always`, and nothing has changed: one HEAD, which is no pull', async () => {
    const name = await publish('same');
    const image = await pull(name);
    const verbs = async (ref = name): Promise<string> => {
      const { result, asked } = await asking(() => pull(ref, { policy: 'always' }));
      expect(result.id).toBe(image.id);
      return asked.map((line) => line.replace(/^(\w+) .*\/(manifests|blobs)\/.*/, '$1 $2')).join();
    };
    const full = 'GET manifests,GET blobs';
    expect(await verbs()).toBe('HEAD manifests');
    expect(await verbs(`${repositoryOf(name)}@${digestAt(r.direct(name))}`)).toBe('HEAD manifests');
    // A registry that has no HEAD.
    r.proxy.fault = (line) =>
      line.startsWith('HEAD') ? { kind: 'status', status: 405 } : undefined;
    expect(await verbs()).toBe(`HEAD manifests,${full}`);
    r.proxy.fault = () => undefined;
    // A second name of the same.
    moved(name, name.replace(/1$/, '2'));
    expect(await verbs(name.replace(/1$/, '2'))).toBe('HEAD manifests');
    expect((await t.runtime.images.get(image.id)).tags).toHaveLength(2);
    // What is damaged comes again.
    const { manifest } = await findImage((await partsOf(t.runtime, 'look')).store, name);
    await writeFile(join(t.store.root, 'images/blobs/sha256', hexOf(manifest.digest)), 'damaged');
    expect(await verbs()).toBe(`HEAD manifests,${full}`);
    expect(await verbs()).toBe('HEAD manifests');
  });

  test('`always`, of another platform than the one that is here', async () => {
    const layers = [busyboxLayer(folder)];
    const name = await r.publish(
      { layers, architecture: 'arm', variant: 'v6' },
      { layers, architecture: 'arm', variant: 'v7' },
    );
    const v6 = await pull(name, { platform: 'linux/arm/v6' });
    const v7 = await pull(name, { platform: 'linux/arm/v7', policy: 'always' });
    expect(v7.id).not.toBe(v6.id);
    expect((await pull(name, { platform: 'linux/arm/v6', policy: 'always' })).id).toBe(v6.id);
  });
});

describe('two names', () => {
  test('of one manifest are two names of one image, whose layers came once', async () => {
    const name = await publish('two');
    const other = `${repositoryOf(name)}:other`;
    moved(name, other);
    const first = await pull(name);
    const { result, asked } = await asking(() => pull(other));
    expect([result.id, result.tags]).toEqual([first.id, [name, other].sort()]);
    // The manifest, and the small configuration.
    expect(asked.filter((line) => line.includes('blobs')).length).toBeLessThanOrEqual(1);
    expect(await t.runtime.images.list()).toHaveLength(1);
  });
});

describe('a digest', () => {
  test('means the same image in each repository that it was pulled from, and nobody is asked again', async () => {
    const name = await publish('digest');
    const digest = digestAt(r.direct(name));
    const elsewhere = `${r.proxy.host}/elsewhere/app`;
    moved(name, `${elsewhere}:1`);
    const names = [`${repositoryOf(name)}@${digest}`, `${elsewhere}@${digest}`];
    expect(await rejection(t.runtime.images.get(names[0]!))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    const ids = new Set<string>();
    for (const one of names) ids.add((await pull(one)).id);
    expect(ids.size).toBe(1);
    for (const one of names) {
      expect(ids).toContain((await t.runtime.images.get(one)).id);
      const { result, asked } = await asking(async () => [await said(one), (await pull(one)).id]);
      expect([result[0], asked]).toEqual([expect.stringMatching(/^digest/), []]);
    }
    // Pulled by digest it has no name.
    const [image] = await t.runtime.images.list();
    expect(image?.tags).toEqual([]);
  });

  test('is told with all else by inspect', async () => {
    const name = await publish('inspected');
    const digest = digestAt(r.direct(name));
    const image = await pull(name);
    const [above, below] = await image.history();
    const info = await image.inspect();
    expect(info).toEqual({
      id: image.id,
      digest,
      tags: [name],
      sources: [`${repositoryOf(name)}@${digest}`],
      platform: { os: 'linux', architecture: 'amd64' },
      createdAt: expect.any(Date) as Date,
      author: '',
      sizeBytes: image.sizeBytes,
      config: { Cmd: ['/bin/cat', '/text'] },
      layers: [below, above].map((step) => ({
        diffId: step?.diffId,
        digest: expect.stringMatching(/^sha256:/) as string,
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        sizeBytes: expect.any(Number) as number,
      })),
    });
    for (const { digest: blob, sizeBytes } of info.layers) {
      const file = join(t.store.root, 'images/blobs/sha256', blob.slice(7));
      expect(statSync(file).size).toBe(sizeBytes);
    }
    await image.tag('inspected:2');
    await image.untag(name);
    expect([image.tags, (await image.inspect()).tags]).toEqual([['inspected:2'], ['inspected:2']]);
    expect(await rejection(pull(name, { policy: 'never' }))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    expect(await rejection(image.untag(name))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
    expect(await rejection(image.untag('UPPER'))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await image.remove();
    expect(await rejection(image.inspect())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  test('of an image that an archive had brought before', async () => {
    const name = await publish('loaded');
    const archive = join(folder, 'loaded.tar');
    skopeoCopy(`docker://${r.direct(name)}`, `oci-archive:${archive}:example.com/loaded:1`);
    const [loaded] = await Image.load(archive, { runtime: t.runtime });
    const digest = digestAt(r.direct(name));
    const ref = `${repositoryOf(name)}@${digest}`;
    expect((await pull(ref)).id).toBe(loaded?.id);
    const { result, asked } = await asking(() => said(ref));
    expect([result, asked]).toEqual([expect.stringMatching(/^loaded/), []]);
  });

  test('beside a tag is what counts: the tag is nobody’s name', async () => {
    const name = await publish('first');
    const old = digestAt(r.direct(name));
    moved(await publish('second'), name);
    const now = await pull(name);
    // What it was once, by a name that it no longer has.
    const before = await pull(`${name}@${old}`);
    expect(before.id).not.toBe(now.id);
    expect([before.tags, (await t.runtime.images.get(name)).id]).toEqual([[], now.id]);
    expect(await said(`${name}@${old}`)).toMatch(/^first/);
  });
});
