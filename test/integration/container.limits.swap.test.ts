// needs: root, a controller that counts swap, and a swap file of the test's own
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';

import { Container, type Limits } from '../../lib/index.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { testRuntime } from '../helpers/runtime.js';
import { tempFolder, type TempFolder } from '../helpers/temp.js';

const { describe, test } = needs('root', 'native', 'cgroups', 'swapon');
const execute = promisify(execFile);

/** Holds 48 MiB at once, and counts them. */
const HOLD = 'head -c 50331648 /dev/zero | tail -c 50331648 | wc -c';

/** v2 counts it wherever it counts memory, v1 where it was not told otherwise (swapaccount=0). */
const counted =
  limitable('memory') &&
  (existsSync('/sys/fs/cgroup/cgroup.controllers') ||
    existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'));

describe.skipIf(!counted)('swap', () => {
  const t = testRuntime();
  let folder: TempFolder;
  let file: string;
  beforeAll(async () => {
    folder = await tempFolder();
    file = join(folder.path, 'swap');
    await execute('dd', ['if=/dev/zero', `of=${file}`, 'bs=1M', 'count=128', 'status=none']);
    await execute('chmod', ['600', file]);
    await execute('mkswap', [file]);
    await execute('swapon', [file]);
  });
  afterAll(async () => {
    await execute('swapoff', [file]);
    await rm(folder.path, { recursive: true });
  });

  const run = async (limits: Limits) =>
    await Container.run(t.image, ['sh', '-c', HOLD], { runtime: t.runtime, limits });

  test('is counted: memory and swap together are the bound', async () => {
    const none = await run({ memoryBytes: '32MiB', memorySwapBytes: '32MiB' });
    expect(none).toMatchObject({ oomKilled: true });
    expect(none.stdout).not.toBe('50331648\n');
    const some = await run({ memoryBytes: '32MiB', memorySwapBytes: '96MiB' });
    expect(some).toMatchObject({ oomKilled: false, stdout: '50331648\n' });
  });

  test('Docker’s rule: as much again where nothing is said, and -1 for no bound', async () => {
    expect(await run({ memoryBytes: '32MiB' })).toMatchObject({ stdout: '50331648\n' });
    expect(await run({ memoryBytes: '20MiB' })).toMatchObject({ oomKilled: true });
    expect(await run({ memoryBytes: '20MiB', memorySwapBytes: -1 })).toMatchObject({
      stdout: '50331648\n',
    });
  });
});
