import { createHash, randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect } from 'vitest';

import { Container, ExecError } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { second, timeoutMs, times } from '../helpers/patience.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const sh = (line: string, options: object = {}) =>
  Container.run(t.image, ['sh', '-c', line], { runtime: t.runtime, ...options });

describe('what a container is', () => {
  test('namespaces of its own, pid 1, its own name, nothing but loopback', async () => {
    const look =
      'hostname; echo $$; ls /sys/class/net; for n in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$n; done';
    const { stdout, exitCode } = await sh(look, { hostname: 'mine' });
    const [name, pid, net, ...namespaces] = stdout.trim().split('\n');
    expect([exitCode, name, pid, net]).toEqual([0, 'mine', '1', 'lo']);
    for (const namespace of namespaces) {
      const kind = namespace.slice(0, namespace.indexOf(':'));
      expect(namespace).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    }
    expect(namespaces).toHaveLength(6);
  });

  test('none of the program’s environment, descriptors or arguments', async () => {
    const { stdout } = await sh('env; ls /proc/self/fd | tr "\\n" " "');
    expect(stdout).not.toContain('CAISSON');
    expect(stdout).not.toContain('VITEST');
    expect(stdout).toMatch(/^PATH=/m);
    expect(stdout).toMatch(/^HOME=\/root$/m);
    // The listing has one of its own.
    expect(stdout.split('\n').at(-1)).toBe('0 1 2 3 ');
  });

  test('what it writes is gone with it', async () => {
    await sh('echo x > /root/x; echo y > /tmp/y');
    expect((await sh('ls /root /tmp')).stdout).not.toMatch(/^[xy]$/m);
  });

  test('the next one sees nothing of it, whatever it did to its root', async () => {
    const look = [
      'stat -c "%a %u %g %h" /',
      '[ "$(stat -c %Y /)" = "$(stat -c %Z /)" ] || echo times',
      'ls -A /; ls -l / | cut -c1-10 | sort; ls /dev /dev/shm /tmp',
    ].join('; ');
    const first = (await sh(look)).stdout;
    const deeds = [
      'touch /x && rm /x',
      'mkdir -m 700 /y && rmdir /y',
      'chmod 700 /',
      'chown 0:0 /',
      'touch -d 2001-01-01 /',
      'echo x > /tmp/x; echo x > /dev/shm/x; echo x > /dev/x',
      'rm -rf /tmp',
      'true',
    ];
    for (const deed of deeds) {
      await sh(deed);
      // More than one: slots are used in turn.
      for (let i = 0; i < times(3); i += 1) expect((await sh(look)).stdout, deed).toBe(first);
    }
  });

  test('folders of those that wrote nothing serve again', async () => {
    const count = times(60);
    for (let i = 0; i < count; i += 1) await sh('true');
    const scratch = join(t.store.root, 'scratch');
    const [own] = await readdir(scratch);
    const numbers = (await readdir(join(scratch, own!))).map(Number);
    expect(Math.max(...numbers)).toBeLessThan((2 * count) / 3);
  });

  test("networks: 'host' is this machine's", async () => {
    const { stdout } = await sh('hostname; readlink /proc/self/ns/net', { networks: 'host' });
    expect(stdout).toBe(`${hostname()}\n${readlinkSync('/proc/self/ns/net')}\n`);
  });

  test('a read-only root, limits, a folder made for cwd', async () => {
    const options = {
      cwd: '/a/b/c',
      security: { ulimits: { core: 0, nofile: { soft: 100, hard: 200 } } },
    };
    const { stdout } = await sh('pwd; ulimit -c; ulimit -n; ulimit -Hn', options);
    expect(stdout).toBe('/a/b/c\n0\n100\n200\n');
    const readOnly = await sh('touch /x', { security: { readOnlyRootfs: true } });
    expect(readOnly.exitCode).not.toBe(0);
    expect(readOnly.stderr).toContain('Read-only file system');
  });

  test('capabilities: Docker’s, none inheritable', async () => {
    const { stdout } = await sh('grep ^Cap /proc/self/status');
    const mask = (name: string): bigint =>
      BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(stdout)?.[1] ?? 'x'}`);
    expect(mask('CapBnd')).toBe(0xa80425fbn);
    expect(mask('CapEff')).toBe(mask('CapBnd'));
    expect(mask('CapInh')).toBe(0n);
    const none = await sh('grep ^CapBnd /proc/self/status', { security: { capDrop: ['ALL'] } });
    expect(none.stdout).toMatch(/\t0+$/m);
  });
});

describe('mounts', () => {
  test('bind, read-only bind, tmpfs', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'in'), 'from the host');
    await mkdir(join(folder.path, 'sub'));
    const mounts = [
      { type: 'bind', source: folder.path, target: '/rw' },
      { type: 'bind', source: folder.path, target: '/ro', readOnly: true },
      { type: 'bind', source: join(folder.path, 'in'), target: '/file' },
      { type: 'tmpfs', target: '/mem', sizeBytes: '1MiB' },
    ];
    const line =
      'cat /ro/in /file; echo out > /rw/out; echo no > /ro/no; df -k /mem | tail -1 | awk "{print \\$2}"';
    const { stdout, stderr } = await sh(line, { mounts });
    expect(stdout).toBe('from the hostfrom the host1024\n');
    expect(stderr).toContain('Read-only');
    expect(await readFile(join(folder.path, 'out'), 'utf8')).toBe('out\n');
  });

  test('a source that is not there says which', async () => {
    const mounts = [{ type: 'bind', source: '/nonesuch', target: '/x' }];
    expect(await rejection(sh('true', { mounts }))).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'bindSource', errno: 'ENOENT', path: '/nonesuch' },
      cause: { code: 'ENOENT', path: '/nonesuch' },
    });
  });
});

describe('streams', () => {
  test('stdout and stderr are apart, binary-safe, complete', async () => {
    const bytes = randomBytes(3 * 2 ** 20);
    const result = await Container.run(t.image, ['sh', '-c', 'tee /dev/stderr'], {
      runtime: t.runtime,
      input: bytes,
      encoding: 'buffer',
    });
    expect(result.stdout.equals(bytes)).toBe(true);
    expect(result.stderr.equals(bytes)).toBe(true);
    expect(result.truncated).toBe(false);
  });

  test('input from a stream', async () => {
    const pieces = Array.from({ length: 50 }, () => randomBytes(50_000));
    const { stdout } = await Container.run(t.image, ['sha256sum'], {
      runtime: t.runtime,
      input: Readable.from(pieces),
    });
    const digest = createHash('sha256').update(Buffer.concat(pieces)).digest('hex');
    expect(stdout).toBe(`${digest}  -\n`);
  });

  test('input that nobody reads hurts nobody', async () => {
    const input = Readable.from(Array.from({ length: 50 }, () => Buffer.alloc(50_000)));
    expect((await Container.run(t.image, ['true'], { runtime: t.runtime, input })).exitCode).toBe(
      0,
    );
    const again = await Container.run(t.image, ['true'], {
      runtime: t.runtime,
      input: Buffer.alloc(2 ** 20),
    });
    expect(again.exitCode).toBe(0);
  });

  test('an input that fails is no whole input', async () => {
    const input = new Readable({
      read() {
        this.push('half');
        this.destroy(new Error('disk on fire'));
      },
    });
    const call = Container.run(t.image, ['sh', '-c', 'cat; sleep 1000'], {
      runtime: t.runtime,
      input,
    });
    expect(await rejection(call)).toMatchObject({ message: 'disk on fire' });
  });

  test('without input stdin is empty', async () => {
    expect((await Container.run(t.image, ['cat'], { runtime: t.runtime })).stdout).toBe('');
  });

  test('output beyond the bound is dropped and said', async () => {
    const line = 'head -c 100000 /dev/zero; echo e >&2';
    const result = await sh(line, { maxOutputBytes: 4096 });
    expect([result.stdout.length, result.stderr, result.truncated, result.exitCode]).toEqual([
      4096,
      'e\n',
      true,
      0,
    ]);
  });

  test('/dev/stdout can be opened, by an ordinary user too', async () => {
    const user = rootless ? {} : { user: 'nobody' };
    expect((await sh('echo x > /dev/stdout; echo y > /dev/stderr', user)).stdout).toBe('x\n');
  });
});

describe('the end', () => {
  test('an exit code is a value', async () => {
    const result = await sh('exit 42');
    expect(result).toMatchObject({
      exitCode: 42,
      signal: null,
      reason: 'exited',
      oomKilled: false,
      stdout: '',
      stderr: '',
      truncated: false,
    });
    expect(result.finishedAt.getTime()).toBeGreaterThanOrEqual(result.startedAt.getTime());
    expect(Math.abs(Date.now() - result.finishedAt.getTime())).toBeLessThan(10_000);
    expect(result.usage?.maxRssBytes).toBeGreaterThan(0);
  });

  test('a signal is no exit code', async () => {
    // pid 1 is safe from signals of its own making, a child is not.
    const result = await Container.run(
      t.image,
      ['perl', '-e', 'if (fork) { wait; exit 7 } kill KILL => $$'],
      { runtime: t.runtime },
    );
    expect(result.exitCode).toBe(7);
  });

  test('check makes an ExecError of it', async () => {
    const error = await rejection(sh('echo o; echo e >&2; exit 3', { check: true }));
    expect(error).toBeInstanceOf(ExecError);
    expect(error).toMatchObject({
      code: 'ERR_EXEC_FAILED',
      result: { exitCode: 3, stdout: 'o\n', stderr: 'e\n' },
    });
  });

  test('a timeout kills the whole tree and keeps the output so far', async () => {
    const begin = performance.now();
    const result = await sh('echo so far; setsid sleep 1000 & sleep 1000', {
      timeoutMs: timeoutMs(0.2),
    });
    expect(result).toMatchObject({
      exitCode: null,
      signal: 'SIGKILL',
      reason: 'timeout',
      stdout: 'so far\n',
    });
    const took = performance.now() - begin;
    expect(took).toBeGreaterThan(190);
    expect(took).toBeLessThan(5_000);
  });
});

describe('abort', () => {
  test('before the start', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const error = await rejection(sh('true', { signal }));
    expect(error).toMatchObject({ name: 'AbortError', cause: signal.reason as Error });
    expect(error).not.toHaveProperty('result');
  });

  test('while it starts, at many moments', async () => {
    const count = times(20);
    for (let i = 0; i < count; i++) {
      const controller = new AbortController();
      const moment = (i * 10) / count;
      setTimeout(() => {
        controller.abort('now');
      }, moment);
      const error = await rejection(sh('sleep 1000', { signal: controller.signal }));
      expect(error).toMatchObject({ name: 'AbortError', cause: 'now' });
    }
  });

  test('while it runs, with the output so far', async () => {
    const error = await rejection(
      sh('echo so far; setsid sleep 1000 & sleep 1000', {
        signal: AbortSignal.timeout(Math.ceil(0.3 * second())),
      }),
    );
    expect(error).toMatchObject({
      name: 'AbortError',
      cause: { name: 'TimeoutError' },
      result: { exitCode: null, signal: 'SIGKILL', reason: 'aborted', stdout: 'so far\n' },
    });
  });

  test('after the end nothing happens', async () => {
    const controller = new AbortController();
    expect((await sh('true', { signal: controller.signal })).exitCode).toBe(0);
    controller.abort();
  });
});

test('many at once', async () => {
  const results = await Promise.all(
    Array.from({ length: times(40) }, (_, i) => sh(`echo ${i}; exit ${i}`)),
  );
  for (const [i, { stdout, exitCode }] of results.entries()) {
    expect([stdout, exitCode]).toEqual([`${i}\n`, i]);
  }
});
