// needs: the native part; a busybox
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { output } from '../helpers/image-tools.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();
const folder = fileFolder('export');
const SLEEP = ['/bin/sleep', 'infinity'];

let made: Promise<string> | undefined;
const imageOf = async (): Promise<Image> =>
  await Image.fromRootfs(
    await (made ??= busyboxRootfs(join(folder, 'rootfs'))),
    { Cmd: SLEEP },
    { runtime: t.runtime },
  );

let count = 0;
async function save(stream: Readable): Promise<string> {
  const path = join(folder, `${(count += 1)}.tar`);
  await pipeline(stream, createWriteStream(path));
  return path;
}
/** What is in it, by GNU tar, without the programs. */
const names = async (path: string): Promise<string[]> =>
  (await output('tar', '-tf', path)).split('\n').filter((name) => !/^bin\/./.test(name));

const OWN = [
  ...['./', 'bin/', 'dev/', 'etc/', 'etc/group', 'etc/hostname', 'etc/hosts', 'etc/passwd'],
  ...[
    'etc/resolv.conf',
    'home/',
    'home/app/',
    'proc/',
    'root/',
    'run/',
    'sys/',
    'tmp/',
    'var/',
    '',
  ],
];
const CHANGE =
  'rm -r /home; echo new > /etc/new; rm /etc/group; mkdir -m 1777 /a; mkfifo -m 640 /a/fifo; ln /etc/new /a/hard';
const CHANGED = [
  ...[
    './',
    'a/',
    'a/fifo',
    'a/hard',
    'bin/',
    'dev/',
    'etc/',
    'etc/hostname',
    'etc/hosts',
    'etc/new',
  ],
  ...['etc/passwd', 'etc/resolv.conf', 'proc/', 'root/', 'run/', 'sys/', 'tmp/', 'var/', ''],
];

describe('Container.export', () => {
  test('of one that was never started: the image’s files', async () => {
    await using box = await Container.create({ image: await imageOf(), runtime: t.runtime });
    expect(await names(await save(box.export()))).toEqual(OWN);
  });

  test('while it runs and when it has ended: what it sees, without what is mounted', async () => {
    const mounted = join(folder, 'mounted');
    await mkdir(mounted, { recursive: true });
    await writeFile(join(mounted, 'secret'), 'of this machine');
    const mounts = [{ type: 'bind', source: mounted, target: '/a/bound' } as const];
    await using box = await Container.start({ image: await imageOf(), mounts, runtime: t.runtime });
    const { exitCode, stdout } = await box.exec(['sh', '-c', `${CHANGE.replace('mkdir -m 1777', 'chmod 1777')}; cat /a/bound/secret; ls /proc/1 > /dev/null && echo lives`]); // prettier-ignore
    expect([exitCode, stdout]).toEqual([0, 'of this machinelives\n']);
    const running = await save(box.export());
    const expected = [...CHANGED.slice(0, 2), 'a/bound/', ...CHANGED.slice(2)];
    expect(await names(running)).toEqual(expected);
    const details = await output('tar', '--numeric-owner', '-tvf', running, 'a/', 'etc/new');
    expect(details.match(/^[a-z-]{10}/gm)).toEqual([
      ...['drwxrwxrwt', 'drwxr-xr-x', 'prw-r-----', '-rw-r--r--', 'hrw-r--r--'],
    ]);
    expect(await output('tar', '-xOf', running, 'a/hard')).toBe('new\n');
    await box.stop({ graceMs: 0 });
    const ended = await save(box.export());
    expect(await output('cmp', running, ended)).toBe('');
  });

  test('what it gives is an image again', async () => {
    await using box = await Container.start({ image: await imageOf(), runtime: t.runtime });
    await box.exec(['sh', '-c', CHANGE]);
    const copy = await Image.fromRootfs(box.export(), { Cmd: SLEEP }, { runtime: t.runtime });
    await using other = await Container.create({ image: copy, runtime: t.runtime });
    expect(await output('cmp', await save(box.export()), await save(other.export()))).toBe('');
    await other.start();
    const { stdout } = await other.exec([
      'sh',
      '-c',
      'cat /etc/new; ls -d /home; stat -c %h /a/hard',
    ]);
    expect(stdout).toBe('new\n2\n');
  });

  test.skipIf(rootless)('owners are those of its user namespace', async () => {
    const ids = [{ containerId: 0, hostId: 1_000_000, size: 65_536 }];
    const security = { userns: { uidMap: ids, gidMap: ids } };
    await using box = await Container.start({
      image: await imageOf(),
      security,
      runtime: t.runtime,
    });
    await box.exec(['sh', '-c', 'echo > /mine; echo > /theirs; chown 5:6 /theirs /root']);
    const list = await output('tar', '--numeric-owner', '-tvf', await save(box.export()), 'mine', 'theirs', 'root/', 'home/'); // prettier-ignore
    expect(list.match(/\b\d+\/\d+\b/g)).toEqual(['0/0', '0/0', '0/0', '5/6', '5/6']);
  });

  test('of this machine’s own programs: its own root alone', async () => {
    await using box = await t.sleeper();
    await box.exec(['sh', '-c', 'echo mine > /home/file']);
    const path = await save(box.export());
    const found = await names(path);
    expect(found).toContain('home/file');
    expect(found).toContain('usr/');
    expect(found.filter((name) => name.startsWith('usr/'))).toEqual(['usr/']);
  });

  test('nobody reads, and reads half of it', async () => {
    await using box = await Container.start({ image: await imageOf(), runtime: t.runtime });
    await box.exec(['sh', '-c', 'truncate -s 2G /holes']);
    box.export();
    const stream = box.export();
    for await (const _ of stream) break;
    expect(stream.destroyed).toBe(true);
    const other = box.export();
    await other[Symbol.asyncIterator]().next();
    other.destroy();
  });

  test('a removal ends it although nobody reads on; an abort, bad options, and after', async () => {
    const box = await Container.start({ image: await imageOf(), runtime: t.runtime });
    await box.exec(['sh', '-c', 'truncate -s 2G /holes']);
    const stop = new AbortController();
    const aborted = box.export({ signal: stop.signal });
    await aborted[Symbol.asyncIterator]().next();
    stop.abort('enough');
    expect(await rejection(aborted.toArray())).toMatchObject({ name: 'AbortError' });
    const bad = box.export({ sgnal: stop.signal } as object);
    expect(await rejection(bad.toArray())).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const stream = box.export();
    const chunks = stream[Symbol.asyncIterator]();
    await chunks.next();
    await sleep(20);
    await box.remove({ force: true });
    expect(await rejection(stream.toArray())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    const after = box.export();
    expect(await rejection(after.toArray())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
  });
});
