// needs: the native part; root or user namespaces; a kernel with time namespaces
import { readlink } from 'node:fs/promises';
import { uptime } from 'node:os';
import { expect } from 'vitest';

import type { SecurityOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns', 'timens');
const t = testRuntime();

const DAY = 86_400;
const CLOCKS =
  'console.log(process.hrtime()[0], Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]))';
const ARGV = [process.execPath, '-e', `const fs = require('fs'); ${CLOCKS}`];

const numbers = (text: string): number[] => text.trim().split(' ').map(Number);

describe('timeOffsets', () => {
  test('set the clocks of the container and of what is run in it', async () => {
    const timeOffsets = {
      monotonic: { secs: 10 * DAY },
      boottime: { secs: 20 * DAY, nanosecs: 5 },
    };
    await using box = await t.sleeper({ security: { timeOffsets } });
    const { spec } = await box.inspect();
    expect(spec.linux.namespaces).toContainEqual({ type: 'time' });
    expect(spec.linux.timeOffsets).toEqual({
      monotonic: { secs: 10 * DAY, nanosecs: 0 },
      boottime: { secs: 20 * DAY, nanosecs: 5 },
    });
    const own = process.hrtime()[0];
    const [monotonic = 0, boottime = 0] = numbers((await box.exec(ARGV)).stdout);
    expect(Math.abs(monotonic - own - 10 * DAY)).toBeLessThan(120);
    expect(Math.abs(boottime - uptime() - 20 * DAY)).toBeLessThan(120);
    // And pid 1 is in there, too.
    const same = await box.exec([
      'sh',
      '-c',
      'readlink /proc/1/ns/time /proc/self/ns/time | uniq | wc -l',
    ]);
    expect(same.stdout).toBe('1\n');
  });

  test('back', async () => {
    const seconds = Math.floor(uptime()) - 30;
    await using box = await t.sleeper({
      security: { timeOffsets: { boottime: { secs: -seconds } } },
    });
    const [, boottime = 0] = numbers((await box.exec(ARGV)).stdout);
    expect(boottime).toBeLessThan(150);
  });

  test('without them a container has the clocks of the machine', async () => {
    await using box = await t.sleeper();
    const { stdout } = await box.exec(['readlink', '/proc/self/ns/time']);
    expect(stdout.trim()).toBe(await readlink('/proc/self/ns/time'));
  });

  test('a clock that would go below 0', async () => {
    const security: SecurityOptions = { timeOffsets: { monotonic: { secs: -2e9 } } };
    expect(await rejection(t.sleeper({ security }))).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'timeNamespace', errno: 'ERANGE' },
    });
  });
});
