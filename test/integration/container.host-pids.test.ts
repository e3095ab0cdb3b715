import { readFileSync, readlinkSync } from 'node:fs';
import { expect } from 'vitest';

import type { ContainerOptions } from '../../lib/index.js';
import { sigkill } from '../helpers/chaos.js';
import { needs } from '../helpers/needs.js';
import {
  brood,
  endable,
  isDead,
  newMark,
  OUTSIDE,
  outsideOf,
  sleepers,
  until,
} from '../helpers/outside.js';
import { soon } from '../helpers/patience.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const run = (line: string, options: Partial<ContainerOptions> = {}) =>
  t.sh(line, { ...OUTSIDE, ...options });

describe.skipIf(endable)('without a cgroup', () => {
  test('nobody could end it for certain: refused, with the remedy', async () => {
    expect(await rejection(t.sleeper(OUTSIDE))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: "security.pid: 'host'" },
      hint: expect.stringContaining('Delegate=yes') as string,
    });
  });
});

describe.skipIf(!endable)("the machine's pid namespace", () => {
  const namespace = readlinkSync('/proc/self/ns/pid');

  test('at start, exec, spawn and run; all else is its own', async () => {
    await using box = await t.sleeper(OUTSIDE);
    const look = ['readlink', '/proc/self/ns/pid'];
    expect((await box.exec(look)).stdout.trim()).toBe(namespace);
    expect((await run(look.join(' '))).stdout.trim()).toBe(namespace);
    for (const other of ['mnt', 'net', 'ipc', 'uts'] as const) {
      const { stdout } = await box.exec(['readlink', `/proc/self/ns/${other}`]);
      expect(stdout.trim()).not.toBe(readlinkSync(`/proc/self/ns/${other}`));
    }
    const { spec, pid } = await box.inspect();
    expect(spec.linux.namespaces).not.toContainEqual({ type: 'pid' });
    expect((await box.exec(['cat', `/proc/${pid}/comm`])).stdout).toBe('sleep\n');
    const spawned = await box.spawn(['sh', '-c', 'echo $$; exec cat']);
    const said = await new Promise<string>((tell) =>
      spawned.stdout.once('data', (bytes: Buffer) => tell(String(bytes))),
    );
    expect(Number(said)).toBe(spawned.pid);
    spawned.kill('SIGKILL');
    expect(await spawned.exited).toMatchObject({ signal: 'SIGKILL' });
  });

  test('/proc shows this program, with its masks', async () => {
    const { stdout } = await run(
      `cat /proc/${process.pid}/comm; cat /proc/keys; (: > /proc/sys/kernel/hostname) 2>&1`,
    );
    expect(stdout.split('\n')[0]).toBe(readFileSync('/proc/self/comm', 'utf8').trim());
    expect(stdout).toContain('Read-only file system');
    expect(stdout.split('\n')).toHaveLength(3);
  });

  test('killed, all that it has started is', async () => {
    const mark = newMark();
    const box = await t.sleeper(brood(mark));
    await until(() => sleepers(mark).length === 3);
    await box.kill();
    expect(await box.wait()).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    expect(sleepers(mark)).toEqual([]);
  });

  test('of two that share, both are in it', async () => {
    await using one = await t.sleeper({ ...OUTSIDE, hostname: 'box' });
    const networks = `container:${one.id}` as const;
    await using two = await t.sleeper({ ...OUTSIDE, networks });
    expect((await two.exec(['hostname'])).stdout).toBe('box\n');
    expect(await rejection(t.sleeper({ networks }))).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    await using apart = await t.sleeper();
    expect(
      await rejection(t.sleeper({ ...OUTSIDE, networks: `container:${apart.id}` })),
    ).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    expect(await rejection(t.sleeper({ security: { pid: `container:${one.id}` } }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'security.pid' },
    });
  });
});

describe.skipIf(!endable)('whoever is killed', () => {
  test.each(['supervisor', 'bootstrap'] as const)('%s: nothing is left', async (who) => {
    const mark = newMark();
    const box = await t.sleeper(brood(mark));
    const exec = box.exec(['sleep', mark]).catch((error: unknown) => error);
    const beside = await t.sleeper();
    await until(() => sleepers(mark).length === 4);
    const { supervisorPid, bootstrapPid, handPids } = (await outsideOf(t.runtime)).facts;
    const exited = box.wait();
    sigkill(who === 'supervisor' ? supervisorPid : bootstrapPid);
    expect(await soon(exited, 'its end')).toMatchObject(
      who === 'supervisor' ? { reason: 'lost' } : {},
    );
    await soon(exec, 'the end of the exec');
    await until(() => sleepers(mark).length === 0);
    for (const pid of [supervisorPid, bootstrapPid, ...handPids]) await until(() => isDead(pid));
    // The others have a supervisor of their own; such a one is started anew.
    expect((await beside.exec(['echo', 'x'])).stdout).toBe('x\n');
    expect((await run('echo y')).stdout).toBe('y\n');
  });
});
