// needs: the native part; root or a delegated cgroup
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, type ContainerEventName } from '../../lib/index.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { timeoutMs } from '../helpers/patience.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns', 'cgroups');
const t = testRuntime();

const NAMES: readonly ContainerEventName[] = ['start', 'pause', 'resume', 'exit'];

/** Counts, fifty times a second. */
const COUNTER = 'i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.02; done';

describe.skipIf(!limitable('freeze'))('a paused container', () => {
  const count = async (box: Container): Promise<string> =>
    (await box.exec(['cat', '/count'])).stdout;

  test('stands still, and goes on where it was', async () => {
    await using box = await t.sleeper({ argv: ['sh', '-c', `echo 0 > /count; ${COUNTER}`] });
    const told: string[] = [];
    for (const name of NAMES) box.on(name, ({ type }) => told.push(type));
    await using clock = await box.spawn(['sh', '-c', 'while :; do echo tick; sleep 0.02; done']);
    let ticks = 0;
    clock.stdout.on('data', () => (ticks += 1));
    await box.pause();
    expect((await box.inspect()).state).toBe('paused');
    await sleep(100); // what was on its way
    const before = ticks;
    await sleep(300);
    expect(ticks).toBe(before);

    expect(await rejection(box.exec(['true']))).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      details: { state: 'paused' },
      hint: expect.stringContaining('resume') as string,
    });
    expect(await rejection(box.pause())).toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
    await box.resume();
    expect(told).toEqual(['pause', 'resume']);
    const then = Number(await count(box));
    await expect.poll(async () => Number(await count(box))).toBeGreaterThan(then);
    await expect.poll(() => ticks).toBeGreaterThan(before);
    expect(await rejection(box.resume())).toMatchObject({ code: 'ERR_CONTAINER_NOT_PAUSED' });
  });

  /** Ends with 7 when it is asked to. */
  async function listener(): Promise<Container> {
    const argv = ['sh', '-c', 'trap "exit 7" TERM; echo > /ready; while :; do sleep 0.02; done'];
    const box = await t.sleeper({ argv });
    await expect.poll(async () => (await box.exec(['ls', '/ready'])).exitCode).toBe(0);
    return box;
  }

  test('stop lets it hear the signal', async () => {
    await using box = await listener();
    await box.pause();
    expect(await box.stop()).toMatchObject({ reason: 'exited', exitCode: 7 });
  });

  test('kill ends it, execs included', async () => {
    await using box = await t.sleeper();
    await using exec = await box.spawn(['sleep', 'infinity']);
    await box.pause();
    await box.kill();
    expect(await box.wait()).toMatchObject({ reason: 'killed' });
    expect(await exec.exited).toMatchObject({ reason: 'killed' });
    await box.start(); // and is as it was
    expect((await box.exec(['echo', 'up'])).stdout).toBe('up\n');
  });

  test('its timeout and its removal end it', async () => {
    const box = await t.sleeper({ timeoutMs: timeoutMs(0.3) });
    await box.pause();
    expect(await box.wait()).toMatchObject({ reason: 'timeout' });
    await box.remove();
    const other = await t.sleeper();
    await other.pause();
    await other.remove({ force: true });
    expect((await other.inspect()).state).toBe('removed');
  });

  test('close ends it', async () => {
    const box = await t.sleeper();
    await box.pause();
    const started = performance.now();
    await t.runtime.close();
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test('restart starts it anew', async () => {
    await using box = await listener();
    await box.pause();
    await box.restart();
    expect((await box.inspect()).state).toBe('running');
  });

  test('a group that stood still is not used again', async () => {
    for (let round = 0; round < 3; round++) {
      await using box = await t.sleeper();
      await box.pause();
      await box.kill();
      await box.wait();
      const { stdout } = await Container.run(t.image, ['echo', 'free'], { runtime: t.runtime });
      expect(stdout).toBe('free\n');
    }
  });

  test('many calls at once take their turn', async () => {
    await using box = await t.sleeper();
    const calls = [box.pause(), box.resume(), box.pause(), box.resume()];
    await Promise.all(calls);
    expect((await box.inspect()).state).toBe('running');
  });
});

test.skipIf(limitable('freeze'))(
  'without a cgroup it is refused, and says what to do',
  async () => {
    await using box = await t.sleeper();
    expect(await rejection(box.pause())).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      hint: expect.stringContaining('Delegate=yes') as string,
    });
  },
);
