import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
} from 'node:fs';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect } from 'vitest';
import { Container, Image, type StoreProblem, type VerifyEvent } from '../../lib/index.js';
import { digestOf } from '../../lib/store/digest.js';
import { tarOf, type Part } from '../helpers/archive.js';
import { writeLayout } from '../helpers/layout.js';
import { busybox, needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('busybox');
const folder = fileFolder('verify');
const t = testRuntime();

/** Files of whoever has the store. */
const own = (...parts: Part[]): Buffer => tarOf(parts.map((part) => ({ id: 0, ...part })));

/** Two layers: the second leaves the folders above its files out, and takes a file away. */
const lower = (): Buffer =>
  own(
    { name: 'bin/', type: '5', mode: 0o755 },
    { name: 'bin/sh', data: readFileSync(busybox() ?? ''), mode: 0o755 },
    { name: 'etc/', type: '5', mode: 0o750 },
    { name: 'etc/motd', data: Buffer.from('hello\n') },
    { name: 'etc/gone', data: Buffer.from('x') },
  );
const upper = (): Buffer =>
  own(
    { name: 'etc/issue', data: Buffer.from('issue\n') },
    { name: 'etc/.wh.gone', data: Buffer.alloc(0) },
    { name: 'opt/new/file', data: Buffer.from('new\n') },
  );

let layout = '';
let image: Image;
let root = '';
/** What of it lies where in the store. */
let at: { manifest: string; config: string; blobs: string[]; layers: string[] };

beforeAll(async () => {
  layout = await writeLayout(join(folder, 'layout'), { layers: [lower(), upper()] });
});
beforeEach(async () => {
  root = t.store.options.root;
  [image] = (await Image.load(layout, { runtime: t.runtime })) as [Image];
  await image.tag('app:1');
  const blob = (digest: string): string => join(root, 'images/blobs/sha256', digest.slice(7));
  const index = JSON.parse(await readFile(join(root, 'images/index.json'), 'utf8'));
  const manifest = blob(index.manifests[0].digest);
  const { config, layers } = JSON.parse(await readFile(manifest, 'utf8'));
  const keys = index.manifests[0].annotations['dev.caisson.layers'].split(',');
  at = {
    manifest,
    config: blob(config.digest),
    blobs: layers.map((one: { digest: string }) => blob(one.digest)),
    layers: keys.map((key: string) => join(root, 'layers', key)),
  };
});

const verify = async (options = {}): Promise<readonly StoreProblem[]> =>
  (await t.runtime.images.verify(options)).problems;
const again = (): Promise<Image[]> => Image.load(layout, { runtime: t.runtime });
const flip = async (path: string): Promise<void> => {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(path, bytes);
};
const temporary = (): string[] =>
  readdirSync(join(root, 'layers')).filter((name) => name.startsWith('.'));

describe('a store that is whole', () => {
  test('is said to be, with how much was looked at and how far it is', async () => {
    const operation = t.runtime.images.verify();
    const events: VerifyEvent[] = [];
    for await (const event of operation) events.push(event);
    const blobBytes = at.blobs.reduce((sum, path) => sum + statSync(path).size, 0);
    expect(await operation).toEqual({ ok: true, problems: [], images: 1, blobs: 2, layers: 2, bytes: blobBytes }); // prettier-ignore
    const last = new Map(events.map((event) => [event.kind + event.digest, event.status]));
    expect([...last.values()]).toEqual(['done', 'done', 'done', 'done']);
    expect(await t.runtime.images.verify({ images: ['app:1', image.id], layers: false })).toMatchObject({ ok: true, images: 1, blobs: 2, layers: 0 }); // prettier-ignore
    expect(temporary()).toEqual([]);
  });

  test('is after a container of it has run, with an imported image beside it', async () => {
    await Image.fromRootfs(join(folder, 'layout'), {}, { runtime: t.runtime });
    await Container.run('app:1', ['sh', '-c', ': > /etc/motd'], { runtime: t.runtime });
    expect(await t.runtime.images.verify()).toMatchObject({ ok: true, images: 2, layers: 3 });
  });

  test('is with an image that was committed, whose layer nothing else has', async () => {
    const container = await Container.create({
      image: 'app:1',
      argv: ['sh', '-c', 'echo new > /etc/new; rm /etc/motd'],
      runtime: t.runtime,
    });
    await container.start();
    await container.wait();
    const committed = await container.commit({ reference: 'app:2' });
    await container.remove();
    expect(await t.runtime.images.verify()).toMatchObject({ ok: true, images: 2, layers: 3 });
    const [name] = readdirSync(join(root, 'layers')).filter((one) => existsSync(join(root, 'layers', one, 'etc/new'))); // prettier-ignore
    await rm(join(root, 'layers', name!, 'etc/motd'));
    const problems = await verify({ repair: true });
    expect(problems).toMatchObject([{ kind: 'layer', images: ['app:2'], repaired: false }]);
    expect(committed.tags).toEqual(['app:2']);
  });

  test('of one that is not here, or with options that are none, it says nothing', async () => {
    expect(await rejection(verify({ images: ['other'] }))).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' }); // prettier-ignore
    expect(await rejection(verify({ repare: true }))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' }); // prettier-ignore
    const stop = new AbortController();
    stop.abort();
    expect(await rejection(verify({ signal: stop.signal }))).toMatchObject({ name: 'AbortError' });
  });
});

describe('damage is found, named, and mended', () => {
  test.for(['flipped', 'truncated', 'deleted'])('a blob that is %s', async (how) => {
    const path = at.blobs[1]!;
    if (how === 'flipped') await flip(path);
    else if (how === 'truncated') truncateSync(path, 20);
    else await rm(path);
    const problem = { kind: 'blob', path, images: ['app:1'], repaired: false };
    expect(await verify()).toMatchObject([problem]);
    expect(await verify({ images: ['app:1'], layers: false })).toMatchObject([problem]);
    // It is not given away, nor is another made that is not it.
    expect(await rejection(image.save().toArray())).toMatchObject({ code: 'ERR_STORE_CORRUPT' });

    const [repaired] = await verify({ repair: true });
    expect(repaired).toMatchObject({ ...problem, fix: expect.stringContaining('app:1') });
    expect(await verify()).toMatchObject([{ ...problem, detail: 'it is missing' }]);
    await again();
    expect(await verify()).toEqual([]);
  });

  test('a blob that no image needs', async () => {
    const path = join(root, 'images/blobs/sha256', 'a'.repeat(64));
    await writeFile(path, 'x');
    expect(await verify()).toMatchObject([{ kind: 'blob', path, images: [], repaired: false }]);
    expect(await verify({ images: ['app:1'] })).toEqual([]);
    expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: true });
    expect(await verify()).toEqual([]);
  });

  const LAYER_DAMAGE: Record<string, (layer: string) => void | Promise<void>> = {
    'a byte': (layer) => flip(join(layer, 'etc/motd')),
    'a length': (layer) => appendFile(join(layer, 'etc/motd'), 'x'),
    'a file that is gone': (layer) => rm(join(layer, 'etc/motd')),
    'a file more': (layer) => writeFile(join(layer, 'etc/more'), ''),
    'a mode': (layer) => chmodSync(join(layer, 'etc'), 0o755),
    'a time': (layer) => utimesSync(join(layer, 'etc/motd'), 5, 5),
    'an xattr': (layer) => void execFileSync('python3', ['-c', XATTR, join(layer, 'etc/motd')]),
    'all of it': (layer) => rm(layer, { recursive: true }),
  };
  const XATTR = 'import os, sys; os.setxattr(sys.argv[1], "user.x", b"y")';
  test('of a layer whatever it is', async () => {
    const path = at.layers[0]!;
    const before = statSync(join(path, 'etc'));
    const problem = { kind: 'layer', path, digest: digestOf(lower()), images: ['app:1'] };
    const named = (repaired: boolean): unknown => expect.objectContaining({ ...problem, repaired });
    for (const [what, damage] of Object.entries(LAYER_DAMAGE)) {
      await damage(path);
      expect(await verify(), what).toContainEqual(named(false));
      const { ok, problems } = await t.runtime.images.verify({ repair: true });
      expect(problems, what).toContainEqual(named(true));
      expect(ok, what).toBe(true);
      expect(statSync(join(path, 'etc'))).toMatchObject({ mode: before.mode, mtimeMs: before.mtimeMs }); // prettier-ignore
    }
    expect(await verify()).toEqual([]);
    expect(temporary()).toEqual([]);
    const line = 'cat /etc/motd; echo /etc/*; test ! -e /etc/more';
    const { stdout } = await Container.run('app:1', ['sh', '-c', line], { runtime: t.runtime });
    expect(stdout).toMatch(/^hello\n.*\/etc\/issue \/etc\/motd/);
    expect(stdout).not.toContain('gone');
  });

  test('a whiteout that is gone: what it hides would be seen again', async () => {
    const path = at.layers[1]!;
    await rm(join(path, 'etc/gone'));
    const problem = { kind: 'layer', path, digest: digestOf(upper()), repaired: false };
    expect(await verify()).toMatchObject([problem]);
    expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: true });
    const { stdout } = await Container.run('app:1', ['sh', '-c', 'echo /etc/*'], { runtime: t.runtime }); // prettier-ignore
    expect(stdout).not.toContain('gone');
  });

  test('what is noted of a layer', async () => {
    const path = `${at.layers[1]}.json`;
    for (const damage of ['{', '{"tarBytes":1,"hidesAll":false,"settled":true}', undefined]) {
      if (damage === undefined) await rm(path);
      else await writeFile(path, damage);
      expect(await verify()).toMatchObject([{ kind: 'record', path, repaired: false }]);
      expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: true });
      expect(await verify()).toEqual([]);
    }
  });

  test.for(['manifest', 'config'] as const)('a %s', async (kind) => {
    const path = at[kind];
    const text = await readFile(path);
    await flip(path);
    const problem = { kind, path, images: ['app:1'], repaired: false };
    expect(await verify()).toContainEqual(expect.objectContaining(problem));
    expect(await verify({ images: ['app:1'] })).toMatchObject([problem]);
    expect(await rejection(Image.get('app:1', { runtime: t.runtime }))).toMatchObject({ code: 'ERR_STORE_CORRUPT' }); // prettier-ignore
    // Loading it again is enough.
    await again();
    expect(await readFile(path)).toEqual(text);
    expect(await verify()).toEqual([]);

    await rm(path);
    expect(await verify({ repair: true })).toContainEqual(expect.objectContaining({ kind, path, repaired: true })); // prettier-ignore
    expect(await Image.list({ runtime: t.runtime })).toEqual([]);
    await again();
    expect(await verify()).toEqual([]);
  });

  test('what says that it is a layout, and the index', async () => {
    const mark = join(root, 'images/oci-layout');
    await rm(mark);
    expect(await verify()).toMatchObject([{ kind: 'index', path: mark }]);
    expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: true });
    const index = join(root, 'images/index.json');
    const text = await readFile(index);
    await flip(index);
    truncateSync(index, 100);
    expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: false, images: 0, problems: [{ kind: 'index', path: index, repaired: false }] }); // prettier-ignore
    await writeFile(index, text);
    expect(await verify()).toEqual([]);
  });

  test('an imported layer, from what a push has made of it alone', async () => {
    await image.remove();
    const imported = await Image.fromRootfs(join(folder, 'layout'), {}, { runtime: t.runtime });
    const [key] = readdirSync(join(root, 'layers')).filter((name) => /^[0-9a-f]{64}$/.test(name));
    const path = join(root, 'layers', key!);
    await writeFile(join(path, 'oci-layout'), 'x');
    const problem = { kind: 'layer', path, images: [imported.id], repaired: false };
    for (const repair of [false, true]) {
      expect(await verify({ repair })).toMatchObject([{ ...problem, fix: expect.stringContaining('import') }]); // prettier-ignore
    }
  });
});

test('a layer that a container uses is not taken from under it', async () => {
  const container = await Container.start({
    image: 'app:1',
    argv: ['sh', '-c', 'while :; do sleep 1; done'],
    runtime: t.runtime,
  });
  const file = join(at.layers[0]!, 'etc/motd');
  await writeFile(file, 'changed\n');
  const [used] = await verify({ repair: true });
  expect(used).toMatchObject({ kind: 'layer', repaired: false });
  expect(used?.fix).toContain(container.name);
  expect(await readFile(file, 'utf8')).toBe('changed\n');
  expect((await container.exec(['sh', '-c', 'cat /etc/motd'])).stdout).toBe('changed\n');
  await container.remove({ force: true });
  expect(await t.runtime.images.verify({ repair: true })).toMatchObject({ ok: true });
  expect((await Container.run('app:1', ['sh', '-c', 'cat /etc/motd'], { runtime: t.runtime })).stdout).toBe('hello\n'); // prettier-ignore
});

test('beside loads, removals and runs it finds nothing, and is in nobody’s way', async () => {
  const other = await writeLayout(join(folder, 'other'), {
    layers: [lower(), own({ name: 'other', data: Buffer.alloc(100_000, 'x') })],
  });
  let going = true;
  const rounds = async (work: () => Promise<unknown>): Promise<number> => {
    let count = 0;
    for (; going; count += 1) await work();
    return count;
  };
  const work = [
    rounds(async () => {
      const [loaded] = await Image.load(other, { runtime: t.runtime });
      await loaded?.remove();
    }),
    rounds(() => Container.run('app:1', ['sh', '-c', ':'], { runtime: t.runtime })),
  ];
  for (let i = 0; i < 6; i += 1) {
    expect(await t.runtime.images.verify({ repair: i % 2 === 1 })).toMatchObject({ ok: true, problems: [] }); // prettier-ignore
  }
  going = false;
  for (const count of await Promise.all(work)) expect(count).toBeGreaterThan(1);
  await Image.list({ runtime: t.runtime });
  expect(temporary()).toEqual([]);
});
