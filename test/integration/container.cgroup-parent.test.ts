// needs: the native part; root
import { spawn } from 'node:child_process';
import {
  existsSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  statSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect } from 'vitest';

import { Container } from '../../lib/index.js';
import { cgroupMode, needs } from '../helpers/needs.js';
import { TEMP_PREFIX } from '../helpers/temp.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'root', 'cgroups');
const NAME = `${TEMP_PREFIX}parent`;
const TOP = '/sys/fs/cgroup';
const t = testRuntime();

/** Where there is such a group, and the groups below it. */
function found(name: string): string[] {
  const roots = ['', ...readdirSync(TOP).filter((one) => statSync(join(TOP, one)).isDirectory())];
  return roots.map((root) => join(TOP, root, name)).filter((path) => existsSync(path));
}

const below = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));

afterEach(async () => {
  // The parent is its user's: the Runtime's own group in it goes with that.
  await t.runtime.close();
  for (const path of found(`${NAME}/deep`).concat(found(NAME))) rmdirSync(path);
});

describe('cgroupParent', () => {
  test('is where the container is, its execs with it, in every hierarchy', async () => {
    await using box = await t.sleeper({ cgroupParent: `/${NAME}/deep`, limits: { pids: 20 } });
    const { pid } = await box.inspect();
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
    const inside = lines.filter((line) => line.includes(`/${NAME}/deep/${t.runtime.id}/`));
    expect(inside.length).toBe(
      found(`${NAME}/deep`).filter((path) => below(path).length > 1).length,
    );
    await using exec = await box.spawn(['sleep', 'infinity']);
    const groups = readFileSync(`/proc/${exec.pid}/cgroup`, 'utf8');
    expect(groups).toContain(`/${NAME}/deep/${t.runtime.id}/`);
    exec.kill('SIGKILL');
    expect(await exec.exited).toMatchObject({ signal: 'SIGKILL' });
    await box.stop({ graceMs: 0 });
    for (const path of found(`${NAME}/deep`)) {
      await expect
        .poll(() =>
          below(path)
            .map(dirname)
            .filter((one) => one !== path),
        )
        .toEqual([]);
    }
  });

  test('what limits the parent limits the container', async () => {
    const folder = existsSync(`${TOP}/pids`) ? `${TOP}/pids/${NAME}` : `${TOP}/${NAME}`;
    mkdirSync(folder);
    if (!existsSync(`${folder}/pids.max`)) writeFileSync(`${TOP}/cgroup.subtree_control`, '+pids');
    writeFileSync(`${folder}/pids.max`, '1');
    const { stderr } = await Container.run(t.image, ['sh', '-c', 'true | cat'], {
      runtime: t.runtime,
      cgroupParent: `/${NAME}`,
    });
    expect(stderr).toMatch(/fork/i);
  });

  // The rule of cgroup v2: controllers are handed down only from groups without processes.
  test.skipIf(cgroupMode() !== 'v2')('one with processes hands no limits down', async () => {
    const folder = join(TOP, NAME);
    mkdirSync(folder);
    const member = spawn('sleep', ['infinity'], { stdio: 'ignore' });
    const move = (to: string): void => {
      writeFileSync(join(to, 'cgroup.procs'), String(member.pid));
    };
    const box = { runtime: t.runtime, cgroupParent: `/${NAME}` };
    const limited = { ...box, limits: { pids: 20 } };
    try {
      move(folder);
      expect(await rejection(Container.run(t.image, ['true'], limited))).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        details: { reason: expect.stringContaining('pids') as string },
        hint: expect.stringContaining('processes') as string,
      });
      // Nobody else's processes are moved for it, and who asks for no limits is not in its way.
      expect(readFileSync(join(folder, 'cgroup.procs'), 'utf8')).toContain(String(member.pid));
      expect((await Container.run(t.image, ['echo', 'free'], box)).stdout).toBe('free\n');
      move(TOP);
      expect((await Container.run(t.image, ['echo', 'held'], limited)).stdout).toBe('held\n');
    } finally {
      member.kill('SIGKILL');
    }
  });

  test('nothing is left when the Runtime is closed', async () => {
    await t.sleeper({ cgroupParent: `/${NAME}` });
    expect(found(NAME).length).toBeGreaterThan(0);
    await t.runtime.close();
    for (const path of found(NAME)) expect(below(path)).toEqual([]);
  });
});
