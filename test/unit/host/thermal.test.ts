import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { thermalPaths } from '../../../lib/host/thermal.js';

test('one folder a processor, where processors say', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'caisson-thermal-'));
  try {
    for (const name of ['cpu0', 'cpu10', 'cpuidle']) await mkdir(join(folder, name));
    expect(thermalPaths(folder)).toEqual([]);
    await mkdir(join(folder, 'cpu0', 'thermal_throttle'));
    expect([...thermalPaths(folder)].sort()).toEqual([
      join(folder, 'cpu0/thermal_throttle'),
      join(folder, 'cpu10/thermal_throttle'),
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
