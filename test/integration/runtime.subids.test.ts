// An ordinary user with subordinate ids. Started by root, for /etc/subuid and /etc/subgid are read by setuid
// programs: each run sees its own, in a mount namespace of its own.
import { execFileSync } from 'node:child_process';
import { chmod, chown, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect } from 'vitest';

import { asUserWithSetuid, USER_ID } from '../helpers/as-user.js';
import { busyboxLayer } from '../helpers/image-registry.js';
import { writeLayout } from '../helpers/layout.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { ended, startPrograms } from '../helpers/program.js';
import { fileFolder, tempFolder, tempStore, type TempStore } from '../helpers/temp.js';

const { test } = needs('native', 'asUser', 'userns', 'unshare', 'newuidmap');

const folder = fileFolder('ids');
/** What the program sees in the place of each of these files. */
const COVERED = ['/etc/subuid', '/etc/subgid', '/usr/bin/newuidmap', '/usr/bin/newgidmap'];
const cover = COVERED.map((path) => {
  const own = join(folder, path.split('/').at(-1)!);
  return `if [ -e ${own} ]; then mount --bind ${own} ${path}; fi`;
}).join('\n');
const programs = startPrograms({
  prefix: ['unshare', '--mount', 'sh', '-ec', `${cover}\nexec "$@"`, 'sh', ...asUserWithSetuid()],
});
checkLeaks();

let store: TempStore;
beforeEach(async () => {
  for (const name of await readdir(folder)) await rm(join(folder, name));
  store = await tempStore({ uid: USER_ID });
});
afterEach(() => store.remove());

async function have(files: {
  subuid?: string;
  subgid?: string;
  newuidmap?: string;
  newgidmap?: string;
}): Promise<void> {
  const both = { subuid: 'nobody:300000:65536\n', subgid: 'nobody:400000:65536\n', ...files };
  for (const [name, content] of Object.entries(both)) {
    await writeFile(join(folder, name), content, { mode: 0o644 });
  }
}

const OPEN = 'return await sh("echo opened")';

/** Runs a body with `runtime` open, and what it returns. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever the body makes it
async function withRuntime(body: string, { close = true } = {}): Promise<any> {
  const source = `
    const { Container, Image, Runtime } = caisson;
    const { spawnSync } = await import('node:child_process');
    const options = JSON.parse(process.argv[1]);
    const told = (error) => ({ code: error.code, details: error.details, hint: error.hint });
    const rejection = (call) => call.then(() => 'resolved', told);
    const image = Image.host();
    try {
      const runtime = await Runtime.open(options);
      const sh = async (line, more) =>
        (await Container.run(image, ['sh', '-c', line], { runtime, check: true, ...more })).stdout;
      const result = await (async () => { ${body} })();
      ${close ? 'await runtime.close();' : ''}
      process.stdout.write(JSON.stringify({ result }));
      ${close ? '' : 'process.kill(process.pid, "SIGKILL");'}
    } catch (error) {
      process.stdout.write(JSON.stringify({ error: { ...told(error), message: error.message, stderr: error.result?.stderr } }));
    }`;
  const { stdout, stderr } = await ended(programs.start(source, [JSON.stringify(store.options)]));
  if (stdout === '') throw new Error(stderr);
  const told = JSON.parse(stdout) as { error?: { message: string } };
  if (told.error !== undefined && !body.includes(OPEN)) throw new Error(JSON.stringify(told.error));
  return told;
}

const words = (map: string): string[] => map.trim().split(/\s+/);

describe('with ranges in both files', () => {
  test.each([
    ['by name', 'nobody'],
    ['by number', String(USER_ID)],
  ])('%s: all of them are mapped', async (_, who) => {
    await have({
      subuid: `other:100000:65536\n${who}:300000:65536\n${who}:500000:10\n`,
      subgid: `${who}:400000:65536\n`,
    });
    const { result } = await withRuntime(
      `return await sh('cat /proc/self/uid_map /proc/self/gid_map')`,
    );
    expect(words(result)).toEqual(
      [
        [0, USER_ID, 1],
        [1, 300000, 65536],
        [65537, 500000, 10],
        [0, USER_ID, 1],
        [1, 400000, 65536],
      ].flatMap((line) => line.map(String)),
    );
  });

  test('users, groups, owners and terminals are as in any container', async () => {
    await have({});
    const { result } = await withRuntime(`return {
      number: await sh('id -u; id -g; id -G', { user: '1000:50', security: { groupAdd: ['7'] } }),
      name: await sh('id -un; id -Gn', { user: 'www-data' }),
      owner: await sh('cd /root; touch x; chown 33:44 x; stat -c "%u:%g" x'),
      pts: await sh('grep devpts /proc/mounts'),
      ping: await sh('cat /proc/sys/net/ipv4/ping_group_range'),
      change: await sh('setpriv --reuid=33 --regid=33 --init-groups id -G'),
      output: await sh('echo x > /dev/stdout', { user: 'www-data' }),
      many: await rejection(sh('true', { user: '70000' })),
      group: await rejection(sh('true', { security: { groupAdd: ['70000'] } })),
    }`);
    expect(result).toMatchObject({
      number: '1000\n50\n50 7\n',
      name: 'www-data\nwww-data\n',
      owner: '33:44\n',
      pts: expect.stringContaining('gid=400004,') as string,
      change: '33\n',
      output: 'x\n',
      many: { code: 'ERR_UNSUPPORTED', details: { what: 'user "70000"' } },
      group: { code: 'ERR_UNSUPPORTED', details: { what: 'groupAdd "70000"' } },
    });
    expect(words(result.ping)).toEqual(['0', '65536']);
  });

  const LITTER = `mkdir -p /a/b && touch /a/b/c && chown -R 33:33 /a && chmod 0 /a/b/c && chmod 700 /a /a/b`;

  test('what others own is removed: with its container, and by its run', async () => {
    await have({});
    const { result } = await withRuntime(`
      const box = await Container.start({ image, runtime, argv: ['sh', '-c', ${JSON.stringify(`${LITTER}; exec sleep 1000`)}] });
      const exec = await box.exec(['sh', '-c',
        'until [ "$(stat -c %a /a)" = 700 ]; do sleep 0.02; done; stat -c %U /a/b/c']);
      await box.remove({ force: true });
      await sh(${JSON.stringify(LITTER)});
      const left = await Container.start({ image, runtime, argv: ['sh', '-c', ${JSON.stringify(LITTER)}] });
      await left.wait();
      return { owner: exec.stdout, pruned: (await runtime.containers.prune()).length };`);
    expect(result).toEqual({ owner: 'www-data\n', pruned: 1 });
    expect(await left()).toEqual([]);
  });

  test('and by who comes after a program that was killed', async () => {
    await have({});
    const body = `
      const argv = ['sh', '-c', ${JSON.stringify(`${LITTER}; exec sleep 1000`)}];
      await Container.start({ image, runtime, argv, name: 'box' });
      await sh(${JSON.stringify(LITTER)});
      return 1;`;
    expect(await withRuntime(body, { close: false })).toEqual({ result: 1 });
    await expect.poll(() => left(), { timeout: 10_000 }).toEqual([]);
    expect(
      await withRuntime('return (await runtime.containers.list({ all: true })).length'),
    ).toEqual({ result: 0 });
  });

  test('an imported folder keeps the owners that are mapped; the others become root', async () => {
    await have({});
    await using source = await tempFolder();
    for (const [name, uid] of [
      ['own', USER_ID],
      ['host', 0],
      ['mapped', 300032],
    ] as const) {
      await writeFile(join(source.path, name), '');
      await chown(join(source.path, name), uid, uid);
    }
    await withRuntime(`await Image.fromRootfs(${JSON.stringify(source.path)}, {}, { runtime });`);
    const layers = join(store.root, 'layers');
    const made = (await readdir(layers)).filter(
      (name) => !name.endsWith('.json') && name !== 'skeleton',
    );
    expect(made).toHaveLength(1);
    const owner = async (name: string) => (await stat(join(layers, made[0]!, name))).uid;
    expect([await owner('own'), await owner('host'), await owner('mapped')]).toEqual([
      USER_ID,
      USER_ID,
      300032,
    ]);
  });
});

/** What is there of containers, in the store. */
async function left(): Promise<string[]> {
  const folders = await Promise.all(
    ['containers', 'scratch', 'trash'].map((name) =>
      readdir(join(store.root, name)).catch(() => []),
    ),
  );
  return folders.flat().filter((name) => name !== '.names');
}

describe('without any', () => {
  test('images go as far as root alone goes, and say where that ends', async () => {
    await have({ subuid: '', subgid: '' });
    await using images = await tempFolder({ uid: USER_ID });
    // What root alone can make: another's setuid program, and a device.
    const made = `cd "$0"; echo x >theirs; chmod 4755 theirs; mknod device c 1 3
      tar --owner=33 --group=44 --numeric-owner -c theirs device`;
    const layer = execFileSync('sh', ['-ec', made, images.path]);
    const layout = await writeLayout(join(images.path, 'layout'), {
      layers: [busyboxLayer(images.path), layer],
      config: { User: '33', Cmd: ['/bin/cat', '/theirs'] },
    });
    const { result } = await withRuntime(`
      const [box] = await Image.load(${JSON.stringify(layout)}, { runtime });
      const run = (...argv) => Container.run(box, argv, { runtime, user: '0' });
      const { items } = await Runtime.check();
      return {
        item: items.find(({ id }) => id === 'subordinate-ids'),
        content: (await run('/bin/cat', '/theirs')).stdout,
        owner: (await run('/bin/stat', '-c', '%u:%g %a', '/theirs')).stdout,
        device: (await run('/bin/ls', '/device')).stderr,
        chown: (await run('/bin/busybox', 'chown', '33', '/theirs')).stderr,
        user: await rejection(Container.run(box, undefined, { runtime })),
      };`);
    expect(result).toMatchObject({
      item: { ok: false },
      content: 'x\n',
      owner: '0:0 4755\n',
      device: expect.stringContaining('No such file') as string,
      chown: expect.stringContaining('Invalid argument') as string,
      user: {
        code: 'ERR_UNSUPPORTED',
        details: { what: 'user "33"' },
        hint: expect.stringContaining('subordinate-ids') as string,
      },
    });
  });
});

describe('with half of it', () => {
  const line = 'cat /proc/self/uid_map /proc/self/gid_map';
  const one = ['0', String(USER_ID), '1'];

  test('only users', async () => {
    await have({ subgid: 'other:1:1\n' });
    const { result } = await withRuntime(`return {
      map: await sh('${line}'),
      user: await sh('id -u', { user: '1000:0' }),
      group: await rejection(sh('true', { user: '1000:1000' })),
      more: await rejection(sh('true', { security: { groupAdd: ['5'] } })),
    }`);
    expect(words(result.map)).toEqual([...one, '1', '300000', '65536', ...one]);
    expect(result.user).toBe('1000\n');
    expect(result.group).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    expect(result.more).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  test('only groups', async () => {
    await have({ newuidmap: '' });
    const { result } = await withRuntime(`return {
      map: await sh('${line}'),
      groups: await sh('id -G', { security: { groupAdd: ['5'] } }),
      user: await rejection(sh('true', { user: '1000:0' })),
    }`);
    expect(words(result.map)).toEqual([...one, ...one, '1', '400000', '65536']);
    expect(result.groups).toBe('0 5\n');
    expect(result.user).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  test.each<[string, Parameters<typeof have>[0]]>([
    ['no ranges', { subuid: '', subgid: '' }],
    ['ranges that say nothing', { subuid: 'nobody:x:1\nnobody:0:0\n', subgid: 'nobody:5\n' }],
    ['no programs', { newuidmap: '', newgidmap: '' }],
    ['ranges that the programs refuse', { subuid: 'nobody:4294967290:100\n', subgid: '' }],
  ])('%s: one id, as ever, and the check says so', async (_, files) => {
    await have(files);
    const { result } = await withRuntime(`return {
      map: await sh('${line}'),
      user: await rejection(sh('true', { user: 'www-data' })),
      item: (await Runtime.check()).items.find(({ id }) => id === 'subordinate-ids'),
    }`);
    expect(words(result.map)).toEqual([...one, ...one]);
    expect(result.user).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { reason: expect.stringContaining('not mapped') },
      hint: expect.stringContaining('subordinate-ids'),
    });
    expect(result.item).toMatchObject({ ok: false, level: 'note' });
  });

  test('programs that fail: one id, and nothing is left of them', async () => {
    const failing = '#!/bin/sh\nexit 1\n';
    await have({ newuidmap: failing, newgidmap: failing });
    for (const name of ['newuidmap', 'newgidmap']) await chmod(join(folder, name), 0o755);
    const { result } = await withRuntime(`return await sh('${line}')`);
    expect(words(result)).toEqual([...one, ...one]);
  });
});

describe('a store', () => {
  test('of one id is opened with many', async () => {
    await have({ subuid: '', subgid: '' });
    expect(await withRuntime(OPEN)).toEqual({ result: 'opened\n' });
    await have({});
    expect(await withRuntime(OPEN)).toEqual({ result: 'opened\n' });
  });

  test('of many is opened with these, and more', async () => {
    await have({});
    await withRuntime(OPEN);
    expect(await withRuntime(OPEN)).toEqual({ result: 'opened\n' });
    await have({ subuid: 'nobody:300000:65536\nnobody:900000:5\n' });
    expect(await withRuntime(OPEN)).toEqual({ result: 'opened\n' });
  });

  test.each<[string, Parameters<typeof have>[0]]>([
    ['one', { subuid: '', subgid: '' }],
    ['others', { subuid: 'nobody:310000:65536\n' }],
    ['no groups', { subgid: '' }],
  ])('of many is refused with %s', async (_, files) => {
    await have({});
    await withRuntime(OPEN);
    await have(files);
    const { error } = await withRuntime(OPEN);
    expect(error).toMatchObject({
      code: 'ERR_STORE_UNUSABLE',
      details: { root: store.root, reason: expect.stringContaining('subordinate ids') },
      hint: expect.stringContaining('300000:65536 400000:65536'),
    });
    await have({});
    expect(await withRuntime(OPEN)).toEqual({ result: 'opened\n' });
  });
});
