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
import { needs } from '../helpers/needs.js';
import { nothingOf, soon } from '../helpers/patience.js';

const { test } = needs('native', 'userns');
const image = Image.host();
checkLeaks();

test(`a hand killed at ${ROUNDS} moments: one call rejects at most (CHAOS_SEED=${SEED})`, async () => {
  const random = randomNumbers(SEED);
  await using lane = await chaosLane();
  const runtime = await Runtime.open(lane.options);
  const { hands } = await anatomyOf(runtime);
  expect(hands()).toHaveLength(3); // the outer one and two inner ones
  const box = await start(runtime, lane, 'box');
  for (let round = 0; round < ROUNDS; round++) {
    const calls = someCalls(runtime, lane, box).map((call) =>
      call.catch((error: unknown) => error),
    );
    await sleep(random() * 12);
    const alive = hands();
    const victim = alive[Math.floor(random() * alive.length)];
    if (victim !== undefined) sigkill(victim);
    const outcomes = await soon(Promise.all(calls), `calls of round ${round}`);
    const errors = outcomes.filter((outcome) => outcome instanceof Error);
    for (const error of errors) expect(error).toMatchObject({ code: 'ERR_HAND_LOST' });
    expect(errors.length).toBeLessThanOrEqual(1);
    const next = await soon(Promise.all(someCalls(runtime, lane, box)), `calls after ${round}`);
    expect(next).toEqual(['x\n', 'x\n', 'x\n', 'x\n', 'x\n']);
  }
  // The box has outlived them all, and nothing has gathered.
  expect((await box.exec(['echo', 'x'])).stdout).toBe('x\n');
  expect(hands()).toHaveLength(3);
  await soon(runtime.close(), 'close()');
  await nothingOf(lane.remains);
}, 600_000);

const start = (runtime: Runtime, { env }: Lane, name: string): Promise<Container> =>
  Container.start({ image, runtime, env, name, argv: ['sleep', '1000'] });

function someCalls(runtime: Runtime, lane: Lane, box: Container): Promise<string>[] {
  const { env } = lane;
  const run = async (): Promise<string> =>
    (await Container.run(image, ['echo', 'x'], { runtime, env })).stdout;
  const bind = { type: 'bind', source: lane.root, target: '/mnt', readOnly: true } as const;
  return [
    run(),
    run(),
    Container.run(image, ['sh', '-c', 'test -e /mnt/layers && echo x'], {
      runtime,
      env,
      mounts: [bind],
    }).then(({ stdout }) => stdout),
    box.exec(['echo', 'x']).then(({ stdout }) => stdout),
    short(runtime, lane),
  ];
}

/** A whole life. One that could not start leaves its name free. */
async function short(runtime: Runtime, lane: Lane): Promise<string> {
  const short = await start(runtime, lane, 'short').catch((error: unknown) => {
    if (CaissonError.is(error)) throw error;
    throw new Error('not one of ours', { cause: error });
  });
  await short.stop({ graceMs: 0 });
  await short.remove();
  return 'x\n';
}
