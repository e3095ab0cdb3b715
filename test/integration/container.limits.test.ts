// needs: the native part; root or a delegated cgroup, and controllers of each limit
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, type ContainerEvent, type Limits } from '../../lib/index.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns', 'cgroups');
const t = testRuntime();

const run = (limits: Limits, line: string) => t.sh(line, { limits });

/** Takes memory until it is killed. */
const HOG = 'exec tail /dev/zero';

describe.skipIf(!limitable('memory'))('memory', () => {
  test('a hog is killed and says why; its neighbour goes on', async () => {
    await using neighbour = await t.sleeper({ limits: { memoryBytes: '64MiB' } });
    const exit = await run({ memoryBytes: '32MiB', memorySwapBytes: '32MiB' }, HOG);
    expect(exit).toMatchObject({ reason: 'oom', oomKilled: true, signal: 'SIGKILL' });
    expect((await neighbour.exec(['echo', 'here'])).stdout).toBe('here\n');
    expect((await run({ memoryBytes: '64MiB' }, 'echo fine')).stdout).toBe('fine\n');
  });

  test('a hog that is not pid 1 leaves that to say how it ended', async () => {
    const exit = await run({ memoryBytes: '32MiB' }, 'tail /dev/zero; echo $?; exit 3');
    expect(exit).toMatchObject({ reason: 'exited', exitCode: 3, oomKilled: true, stdout: '137\n' });
  });

  test('an exec’s hog is its own affair, and an event', async () => {
    await using box = await t.sleeper({ limits: { memoryBytes: '32MiB' } });
    const events: string[] = [];
    for (const name of ['oom', 'exit'] as const) box.on(name, ({ type }) => events.push(type));
    const hog = await box.exec(['sh', '-c', HOG]);
    expect(hog).toMatchObject({ reason: 'oom', oomKilled: true });
    expect(await box.exec(['true'])).toMatchObject({ reason: 'exited', oomKilled: false });
    expect(events).toEqual(['oom']);
    await box.stop({ graceMs: 0 });
    expect(events).toEqual(['oom', 'exit']);
  });

  test('somebody in a container that goes on is an event at once', async () => {
    await using box = await Container.create({
      image: t.image,
      argv: ['sh', '-c', 'tail /dev/zero; exec sleep infinity'],
      runtime: t.runtime,
      limits: { memoryBytes: '32MiB' },
    });
    const events: ContainerEvent[] = [];
    for (const name of ['oom', 'exit'] as const) box.on(name, (event) => events.push(event));
    await box.start();
    await expect.poll(() => events.length, { timeout: 20_000 }).toBe(1);
    expect((await box.inspect()).state).toBe('running');
    await using exec = await box.spawn(['sh', '-c', 'tail /dev/zero; exec sleep infinity']);
    await expect.poll(() => events.length, { timeout: 20_000 }).toBe(2);
    exec.kill('SIGKILL');
    expect(await exec.exited).toMatchObject({ reason: 'killed', oomKilled: true });
    expect(await box.stop({ graceMs: 0 })).toMatchObject({ reason: 'killed', oomKilled: true });
    expect(events.map(({ type }) => type)).toEqual(['oom', 'oom', 'exit']);
    expect(events[0]?.exit).toBeUndefined();
  });

  test('of a container that was started: event, then state', async () => {
    await using box = await Container.create({
      image: t.image,
      argv: ['sh', '-c', HOG],
      runtime: t.runtime,
      limits: { memoryBytes: '32MiB' },
    });
    const events: string[] = [];
    for (const name of ['oom', 'exit'] as const) box.on(name, ({ type }) => events.push(type));
    await box.start();
    expect(await box.wait()).toMatchObject({ reason: 'oom', oomKilled: true });
    expect(events).toEqual(['oom', 'exit']);
    expect((await box.inspect()).spec.linux.resources).toMatchObject({
      memory: { limit: 32 * 2 ** 20 },
    });
  });

  test('killed by us after somebody was killed for want of memory: by us', async () => {
    await using box = await t.sleeper({ limits: { memoryBytes: '32MiB' } });
    await box.exec(['sh', '-c', HOG]);
    expect(await box.stop({ graceMs: 0 })).toMatchObject({ reason: 'killed', oomKilled: true });
  });

  test('too little for the start itself is said so', async () => {
    expect(await rejection(run({ memoryBytes: 4096 }, 'true'))).toMatchObject({
      code: 'ERR_LIMIT_TOO_SMALL',
      details: { limit: 'limits.memoryBytes' },
    });
  });
});

describe.skipIf(!limitable('pids'))('pids', () => {
  test('a fork bomb stops there', async () => {
    const line = 'for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait';
    const { stderr } = await run({ pids: 4 }, line);
    expect(stderr).toMatch(/fork|Resource temporarily unavailable/i);
  });

  test.each([0, 1])('%i leaves pid 1 alone', async (pids) => {
    expect(await run({ pids }, 'echo one; ls / | cat')).toMatchObject({
      stdout: 'one\n',
      stderr: expect.stringMatching(/fork/i) as string,
    });
  });

  test('-1 is no limit', async () => {
    expect((await run({ pids: -1 }, 'true & true & wait; echo all')).stdout).toBe('all\n');
  });
});

/** Processor time that a container's processes used, in seconds, by what it says itself. */
const BUSY = 'i=0; while :; do i=$((i+1)); done';

describe.skipIf(!limitable('cpu'))('processors', () => {
  test('a quota is not gone beyond', async () => {
    const { usage, startedAt, finishedAt } = await Container.run(t.image, ['sh', '-c', BUSY], {
      runtime: t.runtime,
      limits: { cpus: 0.2 },
      timeoutMs: 1000,
    });
    const used = (usage!.userUs + usage!.systemUs) / 1e6;
    expect(used / ((+finishedAt - +startedAt) / 1000)).toBeLessThan(0.35);
  });

  test.skipIf(!limitable('cpuset'))('two that are busy share one by weight', async () => {
    const busy = (cpuShares: number) =>
      Container.run(t.image, ['sh', '-c', BUSY], {
        runtime: t.runtime,
        limits: { cpuShares, cpusetCpus: '0' },
        timeoutMs: 2000,
      });
    const [light, heavy] = await Promise.all([busy(1024), busy(3072)]);
    const used = ({ usage }: typeof light): number => usage!.userUs + usage!.systemUs;
    const ratio = used(heavy) / used(light);
    expect(ratio).toBeGreaterThan(1.8);
    expect(ratio).toBeLessThan(4.5);
  });

  test.skipIf(!limitable('cpuset'))('a set is what its processes see', async () => {
    const line = 'grep -E "^(Cpus|Mems)_allowed_list" /proc/self/status';
    const { stdout } = await run({ cpusetCpus: '0', cpusetMems: '0' }, line);
    expect(stdout).toBe('Cpus_allowed_list:\t0\nMems_allowed_list:\t0\n');
  });

  test.skipIf(!limitable('cpuset'))('one that is not there is refused by name', async () => {
    expect(await rejection(run({ cpusetCpus: '9999' }, 'true'))).toMatchObject({
      code: 'ERR_LIMIT_REFUSED',
      details: { limit: 'limits.cpusetCpus' },
    });
    // Half a group is none, and the next one is not disturbed.
    expect((await run({ cpusetCpus: '0' }, 'echo fine')).stdout).toBe('fine\n');
  });
});

describe.skipIf(!limitable('io') || process.getuid?.() !== 0)('disks', () => {
  test('a throttled writer is slow', async () => {
    const image = `${t.store.root}/disk`;
    execFileSync('truncate', ['-s', '64M', image]);
    execFileSync('mkfs.ext4', ['-qF', image]);
    const folder = `${t.store.root}/mounted`;
    execFileSync('mkdir', [folder]);
    const device = execFileSync('losetup', ['--find', '--show', image], {
      encoding: 'utf8',
    }).trim();
    try {
      execFileSync('mount', [device, folder]);
      const write = async (limits: Limits): Promise<number> => {
        const { exitCode, startedAt, finishedAt } = await Container.run(
          t.image,
          [
            'dd',
            'if=/dev/zero',
            'of=/disk/x',
            'bs=128k',
            'count=16',
            'oflag=direct',
            'status=none',
          ],
          {
            runtime: t.runtime,
            limits,
            mounts: [{ type: 'bind', source: folder, target: '/disk' }],
          },
        );
        expect(exitCode).toBe(0);
        return +finishedAt - +startedAt;
      };
      // Two MiB at two MiB a second.
      const slow = await write({ io: [{ device, writeBytesPerSecond: '2MiB' }] });
      const quick = await write({});
      expect(slow).toBeGreaterThan(700);
      expect(quick).toBeLessThan(slow);
    } finally {
      await umount(folder);
      execFileSync('losetup', ['--detach', device]);
    }
  });
});

/** A container's mount namespace lives a moment longer than it. */
async function umount(folder: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      execFileSync('umount', [folder], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (tries > 50) throw error;
      await sleep(20);
    }
  }
}

test('oomScoreAdj, of every process', async () => {
  const own = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));
  const line = 'cat /proc/self/oom_score_adj';
  expect((await run({ oomScoreAdj: Math.min(own + 7, 1000) }, line)).stdout).toBe(
    `${Math.min(own + 7, 1000)}\n`,
  );
  if (process.getuid?.() !== 0) {
    expect(await rejection(run({ oomScoreAdj: own - 1 }, line))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  }
});

test.skipIf(limitable('memory'))(
  'what cannot be limited is refused, and says what to do',
  async () => {
    const refused = await rejection(run({ memoryBytes: '1GiB' }, 'true'));
    expect(refused).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: 'limits.memoryBytes', reason: expect.stringContaining('memory') as string },
      hint: expect.stringContaining('Delegate=yes') as string,
    });
  },
);
