// needs: the native part; a busybox
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, Runtime, type ContainerOptions } from '../../lib/index.js';
import { output, startDocker, umociLayout } from '../helpers/image-tools.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();
const folder = fileFolder('commit');
const freezes = limitable('freeze');
/** Where nothing can be frozen, it must be said that it may move. */
const pause = freezes ? {} : { pause: false };

let made: Promise<string> | undefined;
async function makeRootfs(): Promise<string> {
  const root = await busyboxRootfs(join(folder, 'rootfs'));
  await mkdir(join(root, 'data/deep/er'), { recursive: true });
  for (const name of ['data/a', 'data/b', 'data/deep/file', 'data/deep/er/x']) {
    await writeFile(join(root, name), name);
  }
  return root;
}
const CONFIG = { Cmd: ['/bin/sleep', 'infinity'], Env: ['PATH=/bin', 'A=1'], Labels: { own: 'x' } };
const imageOf = async (): Promise<Image> =>
  await Image.fromRootfs(await (made ??= makeRootfs()), CONFIG, { runtime: t.runtime });
const start = async (options: Partial<ContainerOptions> = {}): Promise<Container> =>
  await Container.start({ image: await imageOf(), runtime: t.runtime, ...options });

/** Of every kind, as an upper folder has them: added, changed, removed, and a folder in the place of another one. */
const CHANGE = `set -e
  echo more >> /data/a; rm /data/b; rm -r /data/deep; mkdir -m 750 /data/deep; echo new > /data/deep/file
  mkdir /new; ln /data/a /new/hard; ln -s ../data /new/link; mkfifo -m 640 /new/fifo; chmod 4711 /new/hard
  truncate -s 3M /new/holes; echo end >> /new/holes; touch -d @86399 /new; touch -h -d @7 /new/link; mkdir /empty`;

let count = 0;
/** Of all that a container of it sees, before it has written anything. */
async function filesOf(image: Image): Promise<string> {
  await using box = await Container.create({ image, argv: ['/x'], runtime: t.runtime });
  return await archive(box);
}
async function archive(box: Container): Promise<string> {
  const path = join(folder, `${(count += 1)}.tar`);
  await pipeline(box.export(), createWriteStream(path));
  return path;
}
const same = async (one: string, other: string): Promise<void> => {
  expect(await output('cmp', one, other)).toBe('');
};

async function changed(box: Container, line = CHANGE): Promise<Container> {
  expect(await box.exec(['sh', '-c', line])).toMatchObject({ exitCode: 0, stderr: '' });
  return box;
}

describe('Container.commit', () => {
  test('the image has the container’s files, and one layer more', async () => {
    await using box = await changed(await start());
    const image = await box.commit({ reference: 'app:2', message: 'why', author: 'me', ...pause });
    expect((await box.inspect()).state).toBe('running');
    expect(image.tags).toEqual(['app:2']);
    await same(await archive(box), await filesOf(image));
    const [newest, oldest, ...none] = await image.history();
    expect(newest).toMatchObject({ createdBy: '/bin/sleep infinity', comment: 'why' });
    expect(newest?.sizeBytes).toBeGreaterThan(3 << 20);
    expect([oldest?.diffId, none]).toEqual([(await (await imageOf()).history())[0]?.diffId, []]);
    const found = await Container.run('app:2', ['/bin/sh', '-c', 'ls /data /data/deep'], {
      runtime: t.runtime,
    });
    expect(found.stdout).toBe('/data:\na\ndeep\n\n/data/deep:\nfile\n');
  });

  test('of one that has ended, of a child of it, and back to what was', async () => {
    await using box = await changed(await start());
    await box.stop({ graceMs: 0 });
    const first = await box.commit();
    await using child = await changed(
      await start({ image: first }),
      'rm -r /data /new; mkdir /data; chmod 700 /data',
    );
    const second = await child.commit(pause);
    await same(await archive(child), await filesOf(second));
    await using last = await changed(
      await start({ image: second }),
      'mkdir /new; echo a > /new/hard',
    );
    const third = await last.commit(pause);
    await same(await archive(last), await filesOf(third));
    expect(await third.history()).toHaveLength(4);
    expect(await t.runtime.images.verify()).toMatchObject({ ok: true, problems: [] });
    const { stdout } = await Container.run(third, ['/bin/sh', '-c', 'ls /data /new'], {
      runtime: t.runtime,
    });
    expect(stdout).toBe('/data:\n\n/new:\nhard\n');
  });

  test('nothing changed, never started: no layer, as docker has it', async () => {
    const base = await imageOf();
    await using created = await Container.create({ image: base, runtime: t.runtime });
    await using started = await start();
    for (const box of [created, started]) {
      const image = await box.commit({ changes: ['LABEL of=nothing'], ...pause });
      expect(image.config.Labels).toEqual({ own: 'x', of: 'nothing' });
      expect(await image.history()).toMatchObject([
        { diffId: null, sizeBytes: 0 },
        { createdBy: '' },
      ]);
      await same(await filesOf(base), await filesOf(image));
    }
  });

  test('how the container was run, config over it, changes over both', async () => {
    await using box = await start({
      argv: ['/bin/sleep', '1000'],
      env: { A: '2', B: 'b c' },
      labels: { by: 'run' },
      cwd: '/data',
      user: '0:0',
    });
    const plain = await box.commit(pause);
    expect(plain.config).toEqual({
      Cmd: ['/bin/sleep', '1000'],
      Env: ['PATH=/bin', 'A=2', 'B=b c'],
      Labels: { own: 'x', by: 'run' },
      WorkingDir: '/data',
      User: '0:0',
    });
    const image = await box.commit({
      ...pause,
      config: { Env: ['A=3'], Cmd: ['/bin/true'], ExposedPorts: { '1/tcp': {} } },
      changes: [
        'ENTRYPOINT ["/bin/echo", "$A"]',
        'env C=$A-${B} D="x y"',
        'EXPOSE 80 90/udp',
        'workdir deep',
      ],
    });
    expect(image.config).toEqual({
      Entrypoint: ['/bin/echo', '$A'],
      Cmd: ['/bin/true'],
      Env: ['PATH=/bin', 'A=3', 'B=b c', 'C=3-b c', 'D=x y'],
      ExposedPorts: { '1/tcp': {}, '80/tcp': {}, '90/udp': {} },
      Labels: { own: 'x', by: 'run' },
      WorkingDir: '/deep',
      User: '0:0',
    });
    const shell = await box.commit({ ...pause, changes: ['ENTRYPOINT echo $C'] });
    expect(shell.config.Entrypoint).toEqual(['/bin/sh', '-c', 'echo $C']);
    expect(shell.config.Cmd).toBeUndefined();
  });

  test('what is mounted, and what a start makes to mount on, is no part of it', async () => {
    const mounts = [{ type: 'tmpfs', target: '/made/for/this' } as const];
    await using box = await changed(
      await start({ mounts }),
      'echo > /made/for/this/file; echo > /etc/hosts',
    );
    const image = await box.commit(pause);
    await same(await filesOf(await imageOf()), await filesOf(image));
    expect((await image.history())[0]?.diffId).toBeNull();
  });

  test.skipIf(rootless)(
    'owners, capabilities and devices; of a user namespace as it has them',
    async () => {
      const line =
        'echo > /theirs; chown 5:6 /theirs /data; chmod 2755 /data; echo > /mine; chmod 6755 /mine';
      const ids = [{ containerId: 0, hostId: 1_000_000, size: 65_536 }];
      for (const security of ['default', { userns: { uidMap: ids, gidMap: ids } }] as const) {
        await using box = await changed(await start({ security }), security === 'default' ? `${line}; mknod /dev-node c 1 3` : line); // prettier-ignore
        const image = await box.commit(pause);
        await same(await archive(box), await filesOf(image));
        const { stdout } = await Container.run(
          image,
          ['/bin/sh', '-c', 'stat -c "%u:%g %a %n" /theirs /data /mine'],
          { runtime: t.runtime },
        );
        expect(stdout).toBe('5:6 644 /theirs\n5:6 2755 /data\n0:0 6755 /mine\n');
      }
    },
  );

  test('it is saved and loaded as the same, and its blob is made when it is asked for', async () => {
    await using box = await changed(await start());
    const image = await box.commit({ reference: 'app:3', ...pause });
    const path = join(folder, 'saved.tar');
    await pipeline(image.save(), createWriteStream(path));
    const files = await filesOf(image);
    await box.remove({ force: true });
    await image.remove();
    await (await imageOf()).remove();
    const [again] = await Image.load(path, { runtime: t.runtime });
    expect(again?.id).toBe(image.id);
    await same(files, await filesOf(again!));
  });

  test('twice at once; the parent can go', async () => {
    const base = await imageOf();
    await using box = await changed(await start());
    // Made in one millisecond they would be one image, but for what is said of them.
    const second = { reference: 'b', message: 'second', ...pause };
    const both = await Promise.all([box.commit(pause), box.commit(second)]);
    expect(
      new Set(await Promise.all(both.map(async (one) => (await one.history())[0]?.diffId))).size,
    ).toBe(1);
    expect((await box.inspect()).state).toBe('running');
    const files = await archive(box);
    await box.remove({ force: true });
    await base.remove();
    await same(files, await filesOf(both[0]));
    for (const image of both) await image.remove();
    expect(await readdir(join(t.store.root, 'images/partial'))).toEqual([]);
    const layers = (await readdir(join(t.store.root, 'layers'))).filter(
      (name) => name !== 'skeleton',
    );
    await expect.poll(() => layers).toEqual([]);
  });

  test('options are checked before anything is done; this machine itself is no image', async () => {
    await using box = await Container.create({ image: await imageOf(), runtime: t.runtime });
    const wrong: [object, string][] = [
      [{ changes: ['RUN x'] }, 'changes[0]'],
      [{ changes: ['USER a', 'ENV x'] }, 'changes[1]'],
      [{ changes: 'USER a' }, 'changes'],
      [{ changes: ['EXPOSE 70000'] }, 'changes[0]'],
      [{ changes: ['HEALTHCHECK --intervall=1s CMD x'] }, 'changes[0]'],
      [{ config: { User: 1 } }, 'config.User'],
      [{ reference: 'UPPER' }, 'reference'],
      [{ refrence: 'x' }, 'refrence'],
      [{ pause: 'no' }, 'pause'],
    ];
    for (const [options, option] of wrong) {
      expect(await rejection(box.commit(options))).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        details: { option },
      });
    }
    await using host = await t.sleeper();
    expect(await rejection(host.commit())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    await changed(host, 'echo > /home/.wh.x');
  });

  test('a name that no layer can hold is said', async () => {
    await using box = await changed(await start(), 'echo > /data/.wh.odd');
    expect(await rejection(box.commit(pause))).toMatchObject({
      code: 'ERR_REQUEST_FAILED',
      details: { step: 'export', errno: 'EINVAL', detail: 'data/.wh.odd' },
    });
    expect((await box.inspect()).state).toBe('running');
  });
});

describe('Container.commit and the life of the container', () => {
  test.skipIf(!freezes)(
    'it stands still meanwhile, and goes on, also after an error and an abort',
    async () => {
      // What lies between the two takes long to be read.
      const count = 'echo $i > /n; mv /n /one; echo $i > /n; mv /n /two';
      const line = `truncate -s 60M /p; i=0; while :; do i=$((i+1)); ${count}; done`;
      await using box = await start({ argv: ['sh', '-c', line] });
      await expect.poll(async () => (await box.exec(['ls', '/two'])).exitCode).toBe(0);
      const told: string[] = [];
      for (const name of ['pause', 'resume'] as const) box.on(name, () => told.push(name));
      const image = await box.commit();
      const { stdout } = await Container.run(image, ['/bin/sh', '-c', 'cat /one /two'], {
        runtime: t.runtime,
      });
      const [one, two] = stdout.trim().split('\n').map(Number);
      expect(Math.abs(one! - two!)).toBeLessThanOrEqual(1);
      expect(told).toEqual(['pause', 'resume']);
      const stop = new AbortController();
      box.once('pause', () => stop.abort('enough'));
      expect(await rejection(box.commit({ signal: stop.signal }))).toMatchObject({
        name: 'AbortError',
        cause: 'enough',
      });
      expect((await box.inspect()).state).toBe('running');
      await box.pause();
      await box.commit();
      expect((await box.inspect()).state).toBe('paused');
    },
  );

  test.skipIf(freezes)('where nothing can be frozen that is said, and what to do', async () => {
    await using box = await start();
    expect(await rejection(box.commit())).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      hint: expect.stringContaining('pause: false') as string,
    });
  });

  test('a kill, a stop and a removal meanwhile', async () => {
    for (const end of ['kill', 'stop', 'remove'] as const) {
      const box = await changed(
        await start(),
        'mkdir /m; cd /m; for i in $(seq 300); do echo > $i; done',
      );
      const commit = box.commit(pause).catch((error: unknown) => error);
      await sleep(5);
      if (end === 'stop') await box.stop({ graceMs: 0 });
      else if (end === 'kill') await box.kill();
      else await box.remove({ force: true });
      const told = await commit;
      if (!(told instanceof Image)) expect(told).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
      if (end !== 'remove') expect(told).toBeInstanceOf(Image);
      await box.remove({ force: true });
      expect(await rejection(box.commit())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
    }
    expect(await readdir(join(t.store.root, 'images/partial'))).toEqual([]);
  });

  test('while it starts', async () => {
    await using box = await Container.create({ image: await imageOf(), runtime: t.runtime });
    const starting = box.start();
    await box.commit(pause);
    await starting;
  });

  test('a start waits while it is read', async () => {
    // What lies before /zz takes long to be read.
    const line = '[ -e /p ] && echo new > /zz; [ -e /zz ] || echo old > /zz; truncate -s 100M /p';
    await using box = await start({ argv: ['sh', '-c', line] });
    await box.wait();
    let ended = false;
    const commit = box.commit().finally(() => (ended = true));
    const partial = join(t.store.root, 'images/partial');
    const written = async (): Promise<number> => {
      let sum = 0;
      for (const name of await readdir(partial).catch(() => [])) {
        sum += (await stat(join(partial, name)).catch(() => ({ size: 0 }))).size;
      }
      return sum;
    };
    while ((await written()) === 0) expect(ended).toBe(false);
    await box.start();
    const { stdout } = await Container.run(await commit, ['/bin/cat', '/zz'], {
      runtime: t.runtime,
    });
    expect(stdout).toBe('old\n');
    await box.wait();
    const after = await box.commit();
    expect((await Container.run(after, ['/bin/cat', '/zz'], { runtime: t.runtime })).stdout).toBe(
      'new\n',
    );
  });

  test('the runtime is closed meanwhile: nothing of it is left', async () => {
    const box = await changed(await start());
    const commit = box.commit(pause).catch((error: unknown) => error);
    await t.runtime.close();
    const told = await commit;
    if (!(told instanceof Image))
      expect(told).toMatchObject({ code: expect.stringMatching(/^ERR_/) as string });
    expect(await readdir(join(t.store.root, 'images/partial'))).toEqual([]);
    await using again = await Runtime.open(t.store.options);
    expect((await again.images.list()).length).toBe(told instanceof Image ? 2 : 1);
  });

  test('a container that races with it shows nothing of the machine', async () => {
    const outside = join(folder, 'outside');
    await mkdir(outside, { recursive: true });
    await writeFile(join(outside, 'secret'), 'nobody may read this');
    const script = `mkdir -p /a${outside} /b; echo mine > /a${outside}/secret; ln -s / /link; ln -s ${outside} /folder
      while :; do mv /a /c; mv /link /a; mv /a /link; mv /c /a; mv /folder /b/x; mv /b/x /folder; mv /b /a/b; mv /a/b /b; done`;
    await using box = await start({ argv: ['sh', '-c', script] });
    await sleep(50);
    let commits = 0;
    for (let round = 0; round < 8; round++) {
      const path = join(folder, 'raced.tar');
      const exported = await pipeline(box.export(), createWriteStream(path)).then(() => path, () => undefined); // prettier-ignore
      if (exported !== undefined)
        expect(await output('sh', '-c', `! grep -q nobody.may.read ${path}`)).toBe('');
      const image = await box.commit({ pause: false }).catch(() => undefined);
      if (image === undefined) continue;
      commits += 1;
      const whole = await filesOf(image);
      expect(await output('sh', '-c', `! grep -q nobody.may.read ${whole}`)).toBe('');
    }
    expect(commits).toBeGreaterThan(0);
  });
});

describe('others take it', () => {
  const { test } = needs('umoci', 'skopeo');

  test('umoci unpacks the same files; a parent of several layers', async () => {
    const layout = await umociLayout(join(folder, 'umoci'));
    const [base] = await Image.load(layout, { runtime: t.runtime });
    const argv = ['/bin/busybox', 'sleep', 'infinity'];
    await using box = await Container.start({ image: base!, argv, runtime: t.runtime });
    await box.exec(['/bin/busybox', 'sh', '-c', 'B=/bin/busybox; $B rm /second; $B mkdir -p /new/deep; echo x > /new/deep/file; $B ln /new/deep/file /hard']); // prettier-ignore
    const image = await box.commit({ reference: 'example.com/it:1', ...pause });
    const saved = join(folder, 'it.tar');
    await pipeline(image.save(), createWriteStream(saved));
    await output('skopeo', 'copy', `oci-archive:${saved}`, `oci:${folder}/oci:it`);
    const unpack = ['unpack', ...(rootless ? ['--rootless'] : []), '--image', `${folder}/oci:it`];
    await output('umoci', ...unpack, join(folder, 'bundle'));
    const list = (root: string): Promise<string> =>
      output('sh', '-c', `cd ${root}; find . -mindepth 1 -printf '%P %y %m %n %l\\n' | sort`);
    await output(
      'sh',
      '-c',
      `mkdir ${folder}/whole; tar -xpf ${await archive(box)} -C ${folder}/whole`,
    );
    const theirs = await list(join(folder, 'bundle/rootfs'));
    expect(theirs).toContain('new/deep/file f 644 2');
    expect(theirs).not.toContain('second');
    // What every container has of its own lies below the image.
    const own = /^(?:dev|etc|etc\/(?:hostname|hosts|resolv.conf)|proc|run|sys|tmp|var) /;
    const ours = (await list(join(folder, 'whole'))).split('\n').filter((line) => !own.test(line));
    expect(ours.join('\n')).toBe(theirs);
  });
});

describe('docker', () => {
  const { test } = needs('dockerd');

  test('docker has the same files, and commits nothing as we do', async () => {
    await using box = await changed(await start());
    const image = await box.commit({ reference: 'app:9', changes: ['HEALTHCHECK --interval=1m30s CMD true'], ...pause }); // prettier-ignore
    const saved = join(folder, 'docker.tar');
    await pipeline(image.save({ format: 'docker' }), createWriteStream(saved));
    await using docker = await startDocker(join(folder, 'docker'));
    await docker.call('load', '-i', saved);
    const inspect = async (what: string, name = 'app:9'): Promise<string> =>
      (await docker.call('image', 'inspect', '-f', what, name)).trim();
    expect(await inspect('{{.Id}}')).toBe(image.id);
    expect(await inspect('{{.Config.Healthcheck.Interval}} {{len .RootFS.Layers}}')).toBe(
      '1m30s 2',
    );
    const id = (await docker.call('create', '--network', 'none', 'app:9')).trim();
    await docker.call('export', '-o', join(folder, 'theirs.tar'), id);
    const list = async (path: string, name: string): Promise<string[]> => {
      const root = join(folder, name);
      await output('sh', '-c', `mkdir ${root}; tar -xpf ${path} --numeric-owner -C ${root}`);
      const format = '%P %y %m %U:%G %n %s %l %Ts\\n';
      const found = await output(
        'sh',
        '-c',
        `cd ${root}; find . -mindepth 1 -printf '${format}' | sort`,
      );
      // What every container of either has of its own.
      return found
        .split('\n')
        .filter((line) => !/^(?:[.]dockerenv|dev|etc|proc|run|sys|var)\b/.test(line));
    };
    const ours = await list(await archive(box), 'ours');
    expect(ours.length).toBeGreaterThan(100);
    expect(await list(join(folder, 'theirs.tar'), 'theirs')).toEqual(ours);
    const nothing = (await docker.call('commit', id)).trim();
    expect(await inspect('{{len .RootFS.Layers}}', nothing)).toBe('2');
    await docker.call('rm', id);
  });
});
