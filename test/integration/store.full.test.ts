import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { mountAt, smallStore, type SmallStore } from '../helpers/file-system.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

// A file system of a few MiB, which only root can mount, is filled to its last byte or inode.
const { describe, test } = needs('native', 'root', 'busybox');
const host = Image.host();
checkLeaks();

// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});

const containersOf = (store: SmallStore): string[] => [
  ...readdirSync(join(store.root, 'containers')).filter((name) => name !== '.names'),
  ...readdirSync(join(store.root, 'containers/.names')),
];

describe('a store without a byte left', () => {
  test('opening', async () => {
    await using store = await smallStore();
    store.fill();
    expect(await rejection(Runtime.open(store.options))).toMatchObject({
      code: 'ERR_STORE_FULL',
      details: { errno: 'ENOSPC', path: expect.stringContaining(store.root) as string },
      hint: expect.stringContaining('Free space') as string,
    });
    store.free();
    await (await Runtime.open(store.options)).close();
    store.fill();
    // One that was complete before still opens, and runs what writes nothing.
    await using runtime = await Runtime.open(store.options);
    expect(await Container.run(host, ['echo', 'x'], { runtime })).toMatchObject({ stdout: 'x\n' });
  });

  test('an import', async () => {
    await using folder = await tempFolder();
    await busyboxRootfs(folder.path);
    const big = join(folder.path, 'big');
    writeFileSync(big, randomBytes(16 << 20));
    await using store = await smallStore();
    await using runtime = await Runtime.open(store.options);
    const imported = (): Promise<Image> => Image.fromRootfs(folder.path, {}, { runtime });

    expect(await rejection(imported())).toMatchObject({
      code: 'ERR_STORE_FULL',
      details: { errno: 'ENOSPC', path: join(store.root, 'layers') },
    });
    expect(await Image.list({ runtime })).toEqual([]);
    await expect.poll(() => readdirSync(join(store.root, 'layers'))).toEqual(['skeleton']);

    rmSync(big);
    const { stdout } = await Container.run(await imported(), ['echo', 'room'], { runtime });
    expect(stdout).toBe('room\n');
  });

  test('a container: it is not made, or it starts', async () => {
    await using store = await smallStore();
    await using runtime = await Runtime.open(store.options);
    const options = { runtime, image: host, argv: ['sleep', 'infinity'], name: 'box' };
    store.fill();
    for (const call of [Container.create, Container.start]) {
      expect(await rejection(call(options))).toMatchObject({
        code: 'ERR_STORE_FULL',
        details: { errno: 'ENOSPC', path: expect.stringContaining(store.root) as string },
      });
      expect(containersOf(store)).toEqual([]);
    }
    store.free();
    await using box = await Container.create(options);
    store.fill();
    await box.start();
    expect((await box.exec(['echo', 'x'])).stdout).toBe('x\n');
    expect((await box.stop({ graceMs: 0 })).signal).toBe('SIGKILL');
    expect((await box.inspect()).state).toBe('exited');
    await box.remove();
    expect(containersOf(store)).toEqual([]);
  });
});

describe('a store without an inode left', () => {
  test('a container', async () => {
    await using store = await smallStore('size=8m,nr_inodes=400');
    await using runtime = await Runtime.open(store.options);
    const options = { runtime, image: host, argv: ['sleep', 'infinity'] };
    const box = await Container.create(options);
    const give = takeInodes(join(store.root, '.files'));
    const full = { code: 'ERR_STORE_FULL', details: { errno: 'ENOSPC' } };
    expect(await rejection(Container.create(options))).toMatchObject(full);
    expect(await rejection(box.start())).toMatchObject(full);
    expect((await box.inspect()).state).toBe('created');
    expect(containersOf(store).sort()).toEqual([box.id, box.name].sort());
    give();
    await box.start();
    await box.remove({ force: true });
    expect(containersOf(store)).toEqual([]);
  });
});

test('a run folder without a byte left', async () => {
  await using store = await smallStore();
  await using _mounted = mountAt(store.runDir, 'tmpfs', 'mode=0700,size=64k');
  writeFileSync(join(store.runDir, '.filler'), Buffer.alloc(64 << 10));
  for (let i = 0; i < 10; i += 1) {
    const opening = rejection(Runtime.open(store.options));
    // The supervisor has ended, with our Hello unread, before the loop gets to read why.
    const busy = setInterval(() => {
      for (const until = performance.now() + 40; performance.now() < until;);
    }, 1);
    expect(await opening).toMatchObject({
      code: 'ERR_STORE_FULL',
      details: { errno: 'ENOSPC', path: store.runDir },
    });
    clearInterval(busy);
  }
  expect(readdirSync(store.runDir)).toEqual(['.filler']);
  rmSync(join(store.runDir, '.filler'));
  await (await Runtime.open(store.options)).close();
});

test('a running container fills it: its write fails, its log counts what it drops, and all goes on', async () => {
  await using store = await smallStore();
  await using runtime = await Runtime.open(store.options);
  const argv = ['sh', '-c', 'while read -r line; do eval "$line"; done'];
  const options = { runtime, image: host, argv, stdin: 'pipe' } as const;
  await using box = await Container.start(options);
  const log = join(store.root, 'containers', box.id, 'log');
  const first = await box.attach();
  const output = collect(first.stdout);
  const say = (line: string): void => void first.stdin!.write(`${line}\n`);
  say('echo before');
  await expect.poll(output).toBe('before\n');

  const filled = await box.exec(['dd', 'if=/dev/zero', 'of=/fill', 'bs=64k']);
  expect(filled).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining('No space left on device') as string,
  });
  const dropped = 1_000_000;
  say(`head -c ${dropped} /dev/zero | tr '\\0' d; echo done > /dev/shm/said`);
  // Nobody holds it up: it writes on although nothing of it is kept.
  await expect
    .poll(async () => (await box.exec(['cat', '/dev/shm/said'])).stdout, { timeout: 10_000 })
    .toBe('done\n');
  // What still fits in the log's last block may have come through; the rest is counted.
  await expect.poll(() => lostBytes(log).kept, { timeout: 5_000 }).toBeLessThan(5_000);

  const second = await box.attach();
  const later = collect(second.stdout);
  expect((await box.exec(['rm', '/fill'])).exitCode).toBe(0);
  say('echo after');
  await expect.poll(later).toBe('after\n');
  await expect.poll(output).toMatch(/^before\nd*after\n$/);
  expect(output().length - 'before\nafter\n'.length + lostBytes(log).lost).toBe(dropped);

  store.fill();
  expect(await box.stop({ graceMs: 0 })).toMatchObject({ signal: 'SIGKILL' });
  expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
  await Promise.all([first, second].map((process) => process[Symbol.asyncDispose]()));
  await box.remove();
  expect(containersOf(store)).toEqual([]);
});

test('closing with a container that still writes to it', async () => {
  await using store = await smallStore();
  await using runtime = await Runtime.open(store.options);
  const options = { runtime, image: host };
  const filler = await Container.start({ ...options, argv: ['sleep', 'infinity'] });
  const writer = await Container.start({ ...options, argv: ['sh', '-c', 'yes > /fill; yes'] });
  expect((await filler.exec(['sh', '-c', 'cat /dev/zero > /fill'])).exitCode).toBe(1);
  expect((await writer.inspect()).state).toBe('running');
  await runtime.close();
  expect(containersOf(store)).toEqual([]);
  expect(readdirSync(join(store.root, 'scratch'))).toEqual([]);
});

/** Makes empty files until there can be no more; the returned function takes them away again. */
function takeInodes(folder: string): () => void {
  mkdirSync(folder);
  try {
    for (let i = 0; ; i++) writeFileSync(join(folder, String(i)), '');
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
  return () => {
    rmSync(folder, { recursive: true });
  };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let all = '';
  stream.on('data', (piece) => (all += String(piece)));
  return () => all;
}

/** By the log's records (u32 bytes · u8 stream · u8 flags · …): what is in it, and what it says is not. */
function lostBytes(path: string): { kept: number; lost: number } {
  const bytes = readFileSync(path);
  let [kept, lost] = [0, 0];
  for (let at = 0; at < bytes.length;) {
    const size = bytes.readUInt32LE(at);
    if (bytes[at + 5] === 0) kept += size;
    else lost += Number(bytes.readBigUInt64LE(at + 16));
    at += 16 + size;
  }
  return { kept, lost };
}
