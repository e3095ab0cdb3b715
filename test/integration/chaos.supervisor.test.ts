import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { CaissonError, Container, Image, Runtime } from '../../lib/index.js';
import {
  anatomyOf,
  chaosLane,
  randomNumbers,
  ROUNDS,
  SEED,
  sigkill,
  type Lane,
} from '../helpers/chaos.js';
import { checkLeaks } from '../helpers/leak.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, soon } from '../helpers/patience.js';

const { test } = needs('native', 'userns');
const image = Image.host();
checkLeaks();

/** Rounds overlap: most of one is waiting for what is undone. */
const LANES = 3;

test(`a supervisor killed at ${ROUNDS} moments: all calls end, nothing is left (CHAOS_SEED=${SEED})`, async () => {
  let left = ROUNDS;
  const work = Array.from({ length: LANES }, async (_, number) => {
    const random = randomNumbers(SEED + number);
    await using lane = await chaosLane();
    while (left-- > 0) await killedOnce(lane, random);
    await using runtime = await Runtime.open(lane.options);
    expect(await Container.list({ runtime, all: true })).toEqual([]);
    expect((await Container.run(image, ['echo', 'x'], { runtime })).stdout).toBe('x\n');
  });
  await Promise.all(work);
}, 600_000);

async function killedOnce(lane: Lane, random: () => number): Promise<void> {
  const { env } = lane;
  const runtime = await Runtime.open(lane.options);
  const { supervisor } = await anatomyOf(runtime);
  const ended: Promise<unknown>[] = [];

  const run = async (argv: string[], options: object = {}): Promise<void> => {
    const { exitCode, stdout } = await Container.run(image, argv, { runtime, env, ...options });
    // What says that it came to its end has come there.
    if (exitCode === 0) expect(stdout).toBe('done\n');
  };
  const live = async (name: string): Promise<void> => {
    const argv = ['sleep', '1000'];
    const box = await Container.start({ image, runtime, env, name, argv });
    ended.push(
      box.wait().then((exit) => {
        expect(exit).toMatchObject({ reason: 'lost', exitCode: null, signal: null });
      }),
    );
    const process = await box.spawn(['cat']);
    process.stdout.resume();
    process.stderr?.resume();
    ended.push(
      process.exited.then((exit) => {
        expect(exit).toMatchObject({ reason: 'lost', exitCode: null, signal: null });
      }),
    );
    for (;;) await box.exec(['sh', '-c', 'setsid sleep 1000 & echo x'], { timeoutMs: 5 });
  };
  const sharing = async (): Promise<void> => {
    const argv = ['sh', '-c', 'setsid sleep 1000 & exec sleep 1000'];
    const one = await Container.start({ image, runtime, env, argv });
    const security = { pid: `container:${one.id}`, ipc: `container:${one.id}` } as const;
    const networks = `container:${one.id}` as const;
    for (;;) await run(argv, { security, networks, timeoutMs: 5 });
  };
  // Their groups are in more hierarchies, and some stand still.
  const limited = async (): Promise<void> => {
    if (!limitable('memory') || !limitable('pids')) return;
    const limits = { memoryBytes: '64MiB', pids: 50 };
    const box = await Container.start({ image, runtime, env, argv: ['sleep', '1000'], limits });
    for (;;) {
      await box.pause();
      await run(['sh', '-c', 'setsid sleep 1000 & exec sleep 1000'], { limits, timeoutMs: 5 });
      await box.resume();
    }
  };
  const calls = [
    limited(),
    run(['sleep', '1000']),
    run(['sh', '-c', 'setsid sleep 1000 & echo done'], { timeoutMs: 20 }),
    run(['echo', 'done']),
    run(['cat'], { input: Buffer.from('done\n') }),
    live('box'),
    live('other'),
    sharing(),
    Container.create({ image, runtime, env, name: 'made', argv: ['true'] }),
  ].map((call) => call.catch((error: unknown) => error));

  await sleep(random() ** 2 * 80);
  sigkill(supervisor);
  for (const outcome of await soon(Promise.all(calls), 'calls')) {
    if (!(outcome instanceof Error)) continue;
    if (!CaissonError.is(outcome)) throw new Error('not one of ours', { cause: outcome });
    expect(outcome).toMatchObject({
      // The second: a box that was lost between two calls.
      code: expect.stringMatching(/^ERR_(SUPERVISOR_LOST|CONTAINER_NOT_RUNNING)$/) as string,
    });
  }
  await soon(Promise.all(ended), 'ends of containers and processes');
  await soon(runtime.close(), 'close()');
  await nothingOf(lane.remains);
}
