// needs: the native part; root. Limits that bite only where the machine is set up for them
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { Container, type Limits } from '../../lib/index.js';
import { cgroupMode, missing, needs, type Need } from '../helpers/needs.js';
import { testRuntime } from '../helpers/runtime.js';

const { describe } = needs('native', 'root', 'cgroups');
const t = testRuntime();

/** A test that says what it lacks. */
const where = (...names: Need[]) => {
  const lack = missing(...names);
  return (name: string, body: () => Promise<void>): void => {
    test.skipIf(lack !== null)(lack === null ? name : `${name} (${lack})`, body);
  };
};

const run = (argv: string[], limits: Limits) =>
  Container.run(t.image, argv, { runtime: t.runtime, limits });

describe('huge pages', () => {
  const COUNT = '/proc/sys/vm/nr_hugepages';
  const bytes =
    Number(/Hugepagesize: *(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
  const size = `${bytes / 2 ** 20}MB`;
  let before: string;

  beforeEach(() => {
    before = readFileSync(COUNT, 'utf8');
    writeFileSync(COUNT, String(Number(before) + 4));
  });
  afterEach(() => {
    writeFileSync(COUNT, before);
  });

  /** Maps so many of them, and writes to each. */
  const map = (pages: number): string[] => {
    const MAP_PRIVATE_ANONYMOUS_HUGETLB = 0x40022;
    const area = `mmap.mmap(-1, ${pages * bytes}, flags=${MAP_PRIVATE_ANONYMOUS_HUGETLB})`;
    const program = `import mmap; m = ${area}; [m.write(bytes(${bytes})) for i in range(${pages})]`;
    return ['/usr/bin/python3', '-c', `${program}; print("mapped")`];
  };

  where('hugepages', 'python3')('as many as the limit allows, and not one more', async () => {
    const limits: Limits = { hugepages: { [size]: 2 * bytes } };
    expect((await run(map(2), limits)).stdout).toBe('mapped\n');
    const more = await run(map(3), limits);
    expect(more).toMatchObject({ stdout: '' });
    expect(more.signal ?? more.stderr).toMatch(/SIGBUS|Cannot allocate memory/);
    expect((await run(map(3), {})).stdout).toBe('mapped\n');
  });
});

// That it then bites is BFQ's word: on a disk in memory the processors decide who comes first.
describe('a weight on a disk', () => {
  let device: string;
  let scheduler: string;

  beforeEach(() => {
    const file = `${t.store.root}/disk`;
    execFileSync('truncate', ['-s', '64M', file]);
    device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    scheduler = `/sys/block/${basename(device)}/queue/scheduler`;
    writeFileSync(scheduler, 'bfq');
  });
  afterEach(() => {
    writeFileSync(scheduler, 'none');
    execFileSync('losetup', ['--detach', device]);
  });

  where('bfq')('is what the scheduler has of the container’s group', async () => {
    await using box = await t.sleeper({ limits: { io: [{ device, weight: 800 }] } });
    const { pid } = await box.inspect();
    const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    const number = readFileSync(`/sys/block/${basename(device)}/dev`, 'utf8').trim();
    const file =
      cgroupMode() === 'v2'
        ? `/sys/fs/cgroup${/^0::(.*)$/m.exec(groups)?.[1]}/io.bfq.weight`
        : `/sys/fs/cgroup/blkio${/^\d+:blkio:(.*)$/m.exec(groups)?.[1]}/blkio.bfq.weight_device`;
    expect(readFileSync(file, 'utf8').split('\n')).toContain(`${number} 800`);
  });
});
