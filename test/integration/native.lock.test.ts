// Needs: the built addon and its test peer. Advisory locks that die with their holder.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { loadBinding } from '../helpers/fake.js';
import { checkLeaks } from '../helpers/leak.js';
import { nativeFile } from '../helpers/native.js';
import { needs } from '../helpers/needs.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('binding');

describe('lock', () => {
  checkLeaks();
  const binding = () => loadBinding();

  test('makes the file 0600, excludes, and lets go', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'lock');
    const held = await binding().lock(path, 'exclusive', false);
    expect(held).not.toBe(null);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await binding().lock(path, 'exclusive', false)).toBe(null);
    expect(await binding().lock(path, 'shared', false)).toBe(null);
    held!.release();
    held!.release();
    const again = await binding().lock(path, 'exclusive', false);
    expect(again).not.toBe(null);
    again!.release();
  });

  test('shared ones go together', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'lock');
    const one = await binding().lock(path, 'shared', false);
    const two = await binding().lock(path, 'shared', false);
    expect(await binding().lock(path, 'exclusive', false)).toBe(null);
    one!.release();
    expect(await binding().lock(path, 'exclusive', false)).toBe(null);
    two!.release();
    (await binding().lock(path, 'exclusive', false))!.release();
  });

  test('waits its turn, many of them, without starving file system calls', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'lock');
    const first = await binding().lock(path, 'exclusive', true);
    let holders = 0;
    const waiting = Array.from({ length: 20 }, async () => {
      const held = await binding().lock(path, 'exclusive', true);
      holders += 1;
      expect(holders).toBe(1);
      await sleep(1);
      holders -= 1;
      held!.release();
    });
    await sleep(30);
    expect(holders).toBe(0);
    // More waiters than libuv has threads: the pool must still work.
    expect((await readFile(path, 'utf8')).length).toBe(0);
    first!.release();
    await Promise.all(waiting);
  });

  test('is close-on-exec and survives no kill', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'lock');
    const held = await binding().lock(path, 'exclusive', true);
    const fd = readdirSync('/proc/self/fd').find((name) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`) === path;
      } catch {
        return false;
      }
    });
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
    expect(parseInt(/^flags:\t(\d+)$/m.exec(info)![1]!, 8) & 0o2000000).not.toBe(0);
    held!.release();

    const script = `
      const { createRequire } = await import('node:module');
      const { lock } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      const held = await lock(${JSON.stringify(path)}, 'exclusive', true);
      console.log(held === null ? 'no' : 'yes');
      setTimeout(() => held.release(), 60_000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(String(line)).toBe('yes\n');
    expect(await binding().lock(path, 'exclusive', false)).toBe(null);
    const mine = binding().lock(path, 'exclusive', true);
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    (await mine)!.release();
    await closed;
  });

  test('a waiting lock does not hold up the end of the process', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'lock');
    const held = await binding().lock(path, 'exclusive', true);
    const script = `
      const { createRequire } = await import('node:module');
      const { lock } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      void lock(${JSON.stringify(path)}, 'exclusive', true);
      setTimeout(() => process.exit(0), 20);`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 5000 });
    held!.release();
  });

  test('rejects as Node does', async () => {
    await expect(binding().lock('/nowhere/at/all', 'exclusive', true)).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'open',
      path: '/nowhere/at/all',
    });
  });
});
