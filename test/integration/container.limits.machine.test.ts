// needs: the native part; root. Limits that bite only where the machine is set up for them
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, type TestContext } from 'vitest';

import { Container, type Limits } from '../../lib/index.js';
import { cgroupMode, missing, needs, type Need } from '../helpers/needs.js';
import { times } from '../helpers/patience.js';
import { testRuntime } from '../helpers/runtime.js';

const { describe } = needs('native', 'root', 'cgroups');
const t = testRuntime();

/** A test that says what it lacks. */
const where = (...names: Need[]) => {
  const lack = missing(...names);
  return (name: string, body: (context: TestContext) => Promise<void>): void => {
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

describe('a weight on a disk', () => {
  let device: string;
  let queue: string;

  beforeEach(() => {
    const file = `${t.store.root}/disk`;
    execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=64', 'status=none']);
    device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    queue = `/sys/block/${basename(device)}/queue`;
    writeFileSync(`${queue}/scheduler`, 'bfq');
  });
  afterEach(() => {
    writeFileSync(`${queue}/scheduler`, 'none');
    execFileSync('losetup', ['--detach', device]);
  });

  /** A file of a container's group, in the hierarchy that has disks. */
  const read = async (box: Container, v2: string, v1: string): Promise<string> => {
    const groups = readFileSync(`/proc/${(await box.inspect()).pid}/cgroup`, 'utf8');
    const file =
      cgroupMode() === 'v2'
        ? `/sys/fs/cgroup${/^0::(.*)$/m.exec(groups)?.[1]}/${v2}`
        : `/sys/fs/cgroup/blkio${/^\d+:blkio:(.*)$/m.exec(groups)?.[1]}/${v1}`;
    return readFileSync(file, 'utf8');
  };
  const number = (): string => readFileSync(`${queue}/../dev`, 'utf8').trim();

  where('bfq')('is what the scheduler has of the container’s group', async () => {
    await using box = await t.sleeper({ limits: { io: [{ device, weight: 800 }] } });
    const weights = await read(box, 'io.bfq.weight', 'blkio.bfq.weight_device');
    expect(weights.split('\n')).toContain(`${number()} 800`);
  });

  /** What two containers have read in the same time, each with so many readers that one always waits. */
  const readBy = async (...weights: [number, number]): Promise<[number, number]> => {
    const reader = `while :; do dd if=${device} of=/dev/null bs=1M iflag=direct status=none; done`;
    const argv = ['sh', '-c', `for i in $(seq ${times(16)}); do (${reader}) & done; wait`];
    const start = (weight: number): Promise<Container> =>
      t.sleeper({ argv, security: { devices: [device] }, limits: { io: [{ device, weight }] } });
    await using one = await start(weights[0]);
    await using two = await start(weights[1]);
    const total = async (box: Container): Promise<number> => {
      const counts = await read(box, 'io.stat', 'blkio.bfq.io_service_bytes');
      return Number(new RegExp(`^${number()} (?:Read |rbytes=)(\\d+)`, 'm').exec(counts)?.[1] ?? 0);
    };
    const totals = () => Promise.all([total(one), total(two)]);
    while ((await totals()).includes(0)) await sleep(50);
    await sleep(500);
    const before = await totals();
    await sleep(2_000);
    const after = await totals();
    return [after[0] - before[0], after[1] - before[1]];
  };

  where('bfq')('is how much of a busy disk each has', async (context) => {
    try {
      // On a disk in memory the processors would decide who comes first.
      execFileSync('losetup', ['--direct-io=on', device], { stdio: 'pipe' });
    } catch {
      context.skip('needs a temp folder on a disk, for a file that is read past the page cache');
    }
    // One request at a time, and nobody before his turn because he seems to be waited for.
    writeFileSync(`${queue}/iosched/strict_guarantees`, '1');
    writeFileSync(`${queue}/iosched/low_latency`, '0');
    // 5 or 6 times as much, for a reader begins anew at the end of the disk; less where the processors have too much
    // to do, which favours one of the two whatever they weigh.
    const [more, less] = await readBy(800, 100);
    expect(less).toBeGreaterThan(0);
    expect(more / less).toBeGreaterThan(2);
    const [few, many] = await readBy(100, 800);
    expect(few).toBeGreaterThan(0);
    expect(many / few).toBeGreaterThan(2);
  });
});
