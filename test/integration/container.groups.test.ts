// needs: the native part; root or a delegated cgroup, and controllers of each limit
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, type RunOptions } from '../../lib/index.js';
import { pids, read } from '../helpers/chaos.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { rootless, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns', 'cgroups');
const t = testRuntime();

let marks = 0;

/** The name of the group that `run` takes. */
async function groupOf(options: RunOptions): Promise<string> {
  const mark = `1000.${process.pid}${++marks}`;
  const end = new AbortController();
  const { runtime, image } = t;
  const run = Container.run(image, ['sleep', mark], { ...options, runtime, signal: end.signal });
  const ended = run.then(
    () => undefined,
    (error: unknown) => error,
  );
  const isOurs = (pid: number) => read(`/proc/${pid}/cmdline`) === `sleep\0${mark}\0`;
  let pid: number | undefined;
  while ((pid = pids().find(isOurs)) === undefined) await sleep(5);
  const name = /\bslot-\d+\b/.exec(read(`/proc/${pid}/cgroup`))?.[0];
  end.abort();
  expect(await ended).toMatchObject({ name: 'AbortError' });
  return name ?? '';
}

/** Of a few that run one after the other. */
async function groups(options: RunOptions): Promise<Set<string>> {
  const names = new Set<string>();
  for (let i = 0; i < 8; ++i) names.add(await groupOf(options));
  return names;
}

describe('a group that has served', () => {
  test('serves again, where the same limits are asked only', async () => {
    const without = await groups({});
    expect(without.size).toBeLessThan(8);
    if (!limitable('pids')) return;
    const ten = await groups({ limits: { pids: 10 } });
    expect(ten.size).toBeLessThan(8);
    const eleven = await groups({ limits: { pids: 11 } });
    expect([...ten].filter((name) => without.has(name) || eleven.has(name))).toEqual([]);
    expect([...eleven].filter((name) => without.has(name))).toEqual([]);
  });

  test.skipIf(!limitable('memory'))(
    'is as new: nothing killed, nearly nothing charged',
    async () => {
      const limits = { memoryBytes: '64MiB', memorySwapBytes: '64MiB' };
      const run = (line: string) => t.sh(line, { limits });
      for (let i = 0; i < 4; ++i) {
        expect(await run('exec tail /dev/zero')).toMatchObject({ reason: 'oom' });
        expect(await run('true')).toMatchObject({ reason: 'exited', oomKilled: false });
      }
      const v1 = '/sys/fs/cgroup/memory/memory.usage_in_bytes';
      for (let i = 0; i < 4; ++i) {
        await run('head -c 30000000 /dev/zero > /file'); // pages of it stay charged
        const { stdout } = await run(`cat ${v1} 2>/dev/null || cat /sys/fs/cgroup/memory.current`);
        expect(Number(stdout)).toBeGreaterThan(0);
        expect(Number(stdout)).toBeLessThan(8_000_000);
      }
    },
  );

  test.skipIf(!limitable('memory') || !limitable('pids'))(
    'has the limits again, whether its memory group was made anew or not',
    async () => {
      const limits = { memoryBytes: '64MiB', pids: 20 };
      const files = ['pids/pids.max', 'memory/memory.limit_in_bytes', 'pids.max', 'memory.max'];
      const read = `cd /sys/fs/cgroup; cat ${files.join(' ')} 2>/dev/null`;
      for (let i = 0; i < 4; ++i) {
        expect((await t.sh(read, { limits })).stdout).toBe('20\n67108864\n');
        expect((await t.sh(`head -c 30000000 /dev/zero > /file; ${read}`, { limits })).stdout).toBe(
          '20\n67108864\n',
        );
      }
    },
  );

  test.skipIf(rootless)('does not, where the container might have mounted it', async () => {
    const security = { capAdd: ['SYS_ADMIN'] };
    expect((await groups({ security })).size).toBe(8);
  });
});
