// needs: the native part; a busybox
import { createWriteStream } from 'node:fs';
import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, type FsChange, type RunOptions } from '../../lib/index.js';
import { startDocker } from '../helpers/image-tools.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { oneId, rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();
const folder = fileFolder('changes');

let made: Promise<string> | undefined;
/** A root that has something to be changed in every way. */
async function makeRootfs(): Promise<string> {
  const root = await busyboxRootfs(join(folder, 'rootfs'));
  await mkdir(join(root, 'data/deep/er'), { recursive: true });
  for (const name of ['data/a', 'data/b', 'data/deep/file', 'data/deep/er/x']) {
    await writeFile(join(root, name), name);
  }
  // So that what copies it with its time gives it the same, however it rounds.
  await utimes(join(root, 'data/a'), 1_000_000_000, 1_000_000_000);
  await mkdir(join(root, 'opt/old'), { recursive: true });
  await writeFile(join(root, 'opt/old/kept'), '');
  await writeFile(join(root, 'opt/old/lost'), '');
  await symlink('/data', join(root, 'way'));
  return root;
}

const imageOf = async (): Promise<Image> =>
  await Image.fromRootfs(
    await (made ??= makeRootfs()),
    { Cmd: ['/bin/sleep', 'infinity'] },
    { runtime: t.runtime },
  );

/** `A /path`, as docker prints it. */
const lines = (changes: FsChange[]): string[] =>
  changes.map(({ path, kind }) => `${{ added: 'A', modified: 'C', deleted: 'D' }[kind]} ${path}`);

async function after(script: string, options: RunOptions = {}): Promise<string[]> {
  const image = await imageOf();
  const { runtime } = t;
  await using box = await Container.create({ image, argv: ['/bin/sh', '-ec', script], runtime, ...options }); // prettier-ignore
  await box.start();
  expect(await box.wait()).toMatchObject({ exitCode: 0 });
  return lines(await box.changes());
}

const EVERYTHING = `
  echo more >> /data/a; rm /data/b; rm -r /data/deep; mkdir /data/deep; echo new > /data/deep/file
  chmod 711 /root; mkdir -p /new/in; echo > "/new/in/two
lines"; rm -r /opt/old; mkdir /opt/old; echo > /opt/old/kept; rm /way; mkdir /way; ln -s x /link; mkfifo /fifo
  ln /data/a /hard; echo > /tmp/there; rm /tmp/there; echo > /.wh.odd`;
const ALL = [
  ...['A /.wh.odd', 'C /data', 'C /data/a', 'D /data/b', 'C /data/deep', 'D /data/deep/er'],
  ...['C /data/deep/file', 'A /fifo', 'A /hard', 'A /link', 'A /new', 'A /new/in'],
  ...['A /new/in/two\nlines', 'C /opt', 'C /opt/old', 'C /opt/old/kept', 'D /opt/old/lost'],
  ...['C /root', 'C /way'],
];

describe('Container.changes', () => {
  test('every kind of change, as docker tells it', async () => {
    expect(await after(EVERYTHING)).toEqual(ALL);
  });

  test('of one that was never started, and of one that changes nothing: none', async () => {
    await using box = await Container.create({ image: await imageOf(), runtime: t.runtime });
    expect(await box.changes()).toEqual([]);
    await box.start();
    expect(await box.changes()).toEqual([]);
  });

  test('what a start makes to mount on is none, wherever links lead', async () => {
    const mounts = ['/made/for/this', '/way/point', '/data/deep'].map((target) => ({ type: 'tmpfs', target }) as const); // prettier-ignore
    expect(await after('echo > /made/for/this/file', { mounts })).toEqual([]);
    expect(await after('echo > /made/other', { mounts })).toEqual(['A /made', 'A /made/other']);
  });

  test('while it runs, is paused, and has ended', async () => {
    await using box = await Container.start({ image: await imageOf(), runtime: t.runtime });
    await box.exec(['sh', '-c', 'echo > /one']);
    expect(lines(await box.changes())).toEqual(['A /one']);
    if (limitable('freeze')) {
      await box.pause();
      expect(lines(await box.changes())).toEqual(['A /one']);
      await box.resume();
    }
    await box.exec(['sh', '-c', 'rm /one; echo > /two']);
    await box.stop({ graceMs: 0 });
    expect(lines(await box.changes())).toEqual(['A /two']);
    await box.start();
    expect(lines(await box.changes())).toEqual(['A /two']);
  });

  test('of this machine’s own programs, with a writable folder', async () => {
    const image = Image.host({ writable: ['/usr'] });
    const line =
      'echo > /usr/caisson-new; echo > /home/file; echo >> /usr/bin/env; rm /usr/bin/true';
    const argv = ['sh', '-c', line];
    await using box = await Container.start({ image, argv, runtime: t.runtime });
    await box.wait();
    // What is another user's is as it was for the container's root, too.
    const inside = rootless ? [] : ['C /usr/bin', 'C /usr/bin/env', 'D /usr/bin/true'];
    const all = ['C /home', 'A /home/file', 'C /usr', ...inside, 'A /usr/caisson-new'];
    expect(lines(await box.changes())).toEqual(all);
  });

  test('more than a message holds', async () => {
    const name = 'n'.repeat(200);
    const changes = await after(`mkdir /m; cd /m; for i in $(seq 700); do : > $i-${name}; done`);
    expect(changes).toHaveLength(701);
    expect(changes[1]).toBe(`A /m/1-${name}`);
  });

  test.skipIf(rootless)('owners and times of a user namespace are its own', async () => {
    const ids = [{ containerId: 0, hostId: 1_000_000, size: 65_536 }];
    const security = { userns: { uidMap: ids, gidMap: ids } };
    expect(await after('chown 5:6 /data/a; mkdir /x', { security })).toEqual([
      'C /data',
      'C /data/a',
      'A /x',
    ]);
    expect(await after(EVERYTHING, { security })).toEqual(ALL);
  });

  test.skipIf(oneId)('a new owner is a change of a folder', async () => {
    expect(await after('chown 5 /data/deep')).toEqual(['C /data', 'C /data/deep']);
  });

  test('twice at once, an abort, and after it was removed', async () => {
    await using box = await Container.start({ image: await imageOf(), runtime: t.runtime });
    await box.exec(['sh', '-c', 'echo > /one']);
    const both = await Promise.all([box.changes(), box.changes()]);
    expect(both.map(lines)).toEqual([['A /one'], ['A /one']]);
    const signal = AbortSignal.abort('no');
    expect(await rejection(box.changes({ signal }))).toMatchObject({ name: 'AbortError', cause: 'no' }); // prettier-ignore
    expect(await rejection(box.changes({ sgnal: signal } as object))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' }); // prettier-ignore
    await box.remove({ force: true });
    expect(await rejection(box.changes())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
  });

  test('a removal ends it', async () => {
    const image = await imageOf();
    for (const delay of [0, 2, 10]) {
      const box = await Container.start({ image, runtime: t.runtime });
      await box.exec(['sh', '-c', 'mkdir /m; cd /m; for i in $(seq 300); do : > $i; done']);
      const changes = box.changes().catch((error: unknown) => error);
      await sleep(delay);
      await box.remove({ force: true });
      const told = await changes;
      if (Array.isArray(told)) expect(told).toHaveLength(301);
      else expect(told).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    }
  });
});

describe('docker diff', () => {
  const { test } = needs('dockerd');
  const SCRIPTS = [
    EVERYTHING,
    'touch -d @0 /home; chown 5 /data/deep; chmod 700 /opt; echo > /tmp/x; rm /tmp/x; touch /data/a',
    'echo >> /data/deep/er/x',
    'chmod 600 /data/deep/er/x; chmod 711 /',
    // Opened to be written to, and not written to; a further name of one that is as it was.
    'exec 3>> /data/deep/file; ln /data/a /data/deep/er/hard',
    'cp -a /data/a /data/c; mv /data/c /data/a; ln -sf /data /way',
    'mkdir -p /x/y/z; rm -r /data/deep /opt; mv /data/a /a; rm -r /home; mkdir -p /home/user',
    'rm -r /data; mkdir /data; echo b > /data/b',
  ];

  test('tells the same', async () => {
    const saved = join(folder, 'docker.tar');
    const image = await imageOf();
    await image.tag('changes:1');
    await pipeline(image.save({ format: 'docker' }), createWriteStream(saved));
    await using docker = await startDocker(join(folder, 'docker'));
    await docker.call('load', '-i', saved);
    const theirs = async (script: string): Promise<string[]> => {
      const command = ['changes:1', '/bin/sh', '-ec', script];
      await docker.call('run', '--name', 'it', '--network', 'none', ...command);
      const told = await docker.call('diff', 'it');
      await docker.call('rm', 'it');
      return told
        .trim()
        .split(/\n(?=[ACD] )/)
        .sort();
    };
    for (const script of SCRIPTS) {
      const told = await theirs(script);
      expect([script, (await after(script)).sort()]).toEqual([script, told]);
    }
  });
});
