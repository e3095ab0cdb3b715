import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import type { Container as Box } from '../../lib/index.js';
import { read, sigkill } from '../helpers/chaos.js';
import { needs } from '../helpers/needs.js';
import {
  brood,
  endable,
  newMark,
  OUTSIDE,
  outsideOf,
  sleepers,
  until,
} from '../helpers/outside.js';
import { nothingOf, second, soon } from '../helpers/patience.js';
import { startPrograms } from '../helpers/program.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

// What container.host-pids.test.ts does not have: it runs in the cgroup v2 machine as well, where time is short.
const { describe, test } = needs('native', 'userns');
const t = testRuntime();
const programs = startPrograms();

const run = (line: string) => t.sh(line, OUTSIDE);

/** Starts some, then runs one after the other. */
const RESTLESS = `
  const { Container, Image, Runtime } = caisson;
  const { options, argv } = JSON.parse(process.argv[1]);
  const image = Image.host();
  const runtime = await Runtime.open(options);
  const security = { pid: 'host' };
  for (let i = 0; i < 3; i++) await Container.start({ runtime, image, argv, security });
  process.stdout.write('started');
  for (;;) await Container.run(image, argv, { runtime, security, timeoutMs: 50 });
`;

describe.skipIf(!endable)("in the machine's pid namespace", () => {
  test('a signal, an exit code, the output, a start that fails', async () => {
    const line = 'trap "exit 3" USR1; while :; do sleep 0.05; done';
    await using box = await t.sleeper({ ...OUTSIDE, argv: ['sh', '-c', line] });
    const { pid } = await box.inspect();
    await until(() => /^SigCgt:.*[2367abef]..$/m.test(read(`/proc/${pid}/status`)));
    await box.kill('SIGUSR1');
    expect(await box.wait()).toMatchObject({ exitCode: 3, reason: 'exited' });
    await box.start();
    await box.kill();
    expect(await rejection(t.sleeper({ ...OUTSIDE, argv: ['nonesuch'] }))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
    const stopped = await t.sleeper(OUTSIDE);
    // Nobody is process 1: what has no handler ends by the signal itself.
    expect(await stopped.stop()).toMatchObject({ signal: 'SIGTERM' });
    await stopped.remove();
  });

  test.each<[string, (box: Box) => Promise<unknown>]>([
    ['killed', (box) => box.kill()],
    ['killed', (box) => box.stop({ graceMs: 0 })],
    ['timeout', (box) => box.wait()],
    ['killed', (box) => box.remove({ force: true })],
    ['killed', () => t.runtime.close()],
  ])('ended (%s, %s), all it has started is', async (reason, end) => {
    const mark = newMark();
    const bystander = newMark();
    const beside = run(`sleep ${bystander}`);
    await until(() => sleepers(bystander).length === 1);
    const box = await t.sleeper({
      ...brood(mark),
      ...(reason === 'timeout' ? { timeoutMs: 2 * second() } : {}),
    });
    const exec = box.exec(['sh', '-c', `setsid sleep ${mark} & exec sleep ${mark}`]);
    await until(() => sleepers(mark).length === 5);
    const exited = box.wait();
    await end(box);
    expect(await exited).toMatchObject({ signal: 'SIGKILL', exitCode: null, reason });
    expect(sleepers(mark)).toEqual([]);
    expect(await exec).toMatchObject({ signal: 'SIGKILL' });
    process.kill(sleepers(bystander)[0] ?? process.pid, 0);
    await t.runtime.close();
    expect(await beside).toMatchObject({ reason: 'killed' });
  });

  test('its end is the end of what it left behind, an exec’s of what that did', async () => {
    const mark = newMark();
    const line = `setsid sleep ${mark} >/dev/null 2>&1 & exit 7`;
    expect((await run(line)).exitCode).toBe(7);
    expect(sleepers(mark)).toEqual([]);
    await using box = await t.sleeper(OUTSIDE);
    const slow = await box.exec(['sh', '-c', `setsid sleep ${mark} & exec sleep ${mark}`], {
      timeoutMs: 300,
    });
    expect(slow).toMatchObject({ reason: 'timeout' });
    await until(() => sleepers(mark).length === 0);
    expect((await box.inspect()).state).toBe('running');
  });

  test('orphans are waited for', async () => {
    await using box = await t.sleeper(OUTSIDE);
    await box.exec(['sh', '-c', '(setsid sh -c "sleep 0.2; exit 3" &)']);
    const { bootstrapPid } = (await outsideOf(t.runtime)).facts;
    await until(
      () => readFileSync(`/proc/${bootstrapPid}/task/${bootstrapPid}/children`, 'utf8') !== '',
    );
    const { supervisorPid } = (await outsideOf(t.runtime)).facts;
    await until(
      () =>
        readFileSync(`/proc/${bootstrapPid}/task/${bootstrapPid}/children`, 'utf8').trim() ===
        String(supervisorPid),
    );
  });

  test('pause, resume, init', async () => {
    await using box = await t.sleeper({ ...OUTSIDE, init: true });
    const { pid } = await box.inspect();
    await box.pause();
    expect((await box.inspect()).state).toBe('paused');
    await box.resume();
    await until(() => /^State:\s*S/m.test(read(`/proc/${pid}/status`)));
    expect(await box.stop()).toMatchObject({ signal: 'SIGTERM' });
    await box.start();
    await box.pause();
    await box.kill();
    expect(await box.wait()).toMatchObject({ signal: 'SIGKILL' });
  });
});

describe.skipIf(!endable)('whoever is killed', () => {
  test.each([0, 20, 200])('the program, %i ms after a start: nothing is left', async (ms) => {
    const mark = newMark();
    const argv = ['sh', '-c', `(setsid sleep ${mark} &); sleep ${mark}; sleep ${mark}`];
    const program = programs.start(RESTLESS, [JSON.stringify({ options: t.store.options, argv })]);
    await once(program.stdout, 'data');
    await sleep(ms);
    program.kill('SIGKILL');
    await nothingOf(() => [
      ...sleepers(mark).map(String),
      ...readdirSync(t.store.runDir).slice(1), // beside ours
    ]);
  });

  test('both at once: the next one undoes', async () => {
    const mark = newMark();
    await t.sleeper(brood(mark));
    await until(() => sleepers(mark).length === 3);
    const { facts: both, gone } = await outsideOf(t.runtime);
    sigkill(both.bootstrapPid);
    sigkill(both.supervisorPid);
    await soon(gone, 'their end');
    await until(() => sleepers(mark).length < 3); // by its parent's death
    expect((await run('echo y')).stdout).toBe('y\n');
    await until(() => sleepers(mark).length === 0);
  });

  test('a hand: what it had cloned is gone or goes on', async () => {
    const mark = newMark();
    await using box = await t.sleeper(OUTSIDE);
    const { handPids } = (await outsideOf(t.runtime)).facts;
    const calls = Array.from({ length: 6 }, () =>
      box.exec(['sleep', mark], { timeoutMs: 500 }).catch((error: unknown) => error),
    );
    for (const pid of handPids.slice(1)) sigkill(pid);
    await soon(Promise.all(calls), 'the calls');
    await until(() => sleepers(mark).length === 0);
    expect((await box.exec(['echo', 'x'])).stdout).toBe('x\n');
  });

  test('with one that forks as fast as it can', async () => {
    const mark = newMark();
    const child = `setsid sleep ${mark} & exec setsid sleep ${mark}`;
    const line = `$SIG{CHLD} = 'IGNORE'; for (;;) { fork // next or exec 'sh', '-c', '${child}' }`;
    await t.sleeper({ ...OUTSIDE, argv: ['perl', '-e', line], limits: { pids: 200 } });
    await until(() => sleepers(mark).length > 50);
    const { supervisorPid } = (await outsideOf(t.runtime)).facts;
    sigkill(supervisorPid);
    await until(() => sleepers(mark).length === 0);
  });
});
