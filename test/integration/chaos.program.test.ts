import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { chaosLane, randomNumbers, ROUNDS, SEED, type Lane } from '../helpers/chaos.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { nothingOf } from '../helpers/patience.js';
import { startPrograms } from '../helpers/program.js';

// Whoever runs this: root's containers for root, rootless ones for an ordinary user.
const { test } = needs('native', 'userns');
const programs = startPrograms();
checkLeaks();

/** Lanes overlap: most of a round is waiting, for the program to start and for it to be undone. */
const LANES = 4;

/** Starts, execs and runs without end; says when it begins. */
const RESTLESS = `
  const { Container, Image, Runtime } = caisson;
  const { options, env } = JSON.parse(process.argv[1]);
  const image = Image.host();
  const runtime = await Runtime.open(options);
  process.stdout.write('open');
  const forever = async (turn) => { for (let i = 0; ; i++) await turn(i); };
  await Promise.all([
    forever(() => Container.run(image, ['sh', '-c', 'echo x > /root/x'], { runtime, env })),
    forever((i) => Container.run(image, ['sh', '-c', 'setsid sleep 1000 & sleep 1000'],
      { runtime, env, timeoutMs: 5 + i % 20 })),
    forever(async (i) => {
      const name = 'box' + i % 3;
      const tty = i % 2 === 0;
      const box = await Container.start({ image, runtime, env, name, tty, argv: ['sleep', '1000'] });
      await Promise.all([
        box.exec(['sh', '-c', 'setsid sleep 1000 & echo x'], { timeoutMs: 10 }),
        box.exec(['true']),
      ]);
      const process = await box.spawn(['cat'], { tty: i % 3 === 0 });
      process.stdin.end('x');
      process.stdout.resume();
      process.stderr?.resume();
      await process.exited;
      if (i % 2 === 0) await box.stop({ graceMs: 0 });
      await box.remove({ force: true });
    }),
    forever(async () => {
      const made = await Container.create({ image, runtime, env, name: 'made', argv: ['true'] });
      await made.remove();
    }),
  ]);`;

test(`a program killed at ${ROUNDS} moments leaves nothing (CHAOS_SEED=${SEED})`, async () => {
  let left = ROUNDS;
  const work = Array.from({ length: LANES }, async (_, number) => {
    const random = randomNumbers(SEED + number);
    await using lane = await chaosLane();
    await opensClean(lane);
    while (left-- > 0) await killedOnce(lane, random);
    await opensClean(lane);
  });
  await Promise.all(work);
}, 600_000);

async function killedOnce(lane: Lane, random: () => number): Promise<void> {
  const { options, env } = lane;
  const program = programs.start(RESTLESS, [JSON.stringify({ options, env })]);
  let errors = '';
  program.stderr.on('data', (text: Buffer) => (errors += text.toString()));
  const closed = once(program, 'close');
  try {
    // A few die while they open the Runtime, most while they work.
    if (random() < 0.1) {
      await sleep(random() * 200);
    } else {
      await Promise.race([once(program.stdout, 'data'), closed]);
      await sleep(random() ** 2 * 300);
      if (program.exitCode === null) expect(lane.remains()).not.toEqual([]);
    }
  } finally {
    program.kill('SIGKILL');
  }
  await closed;
  expect({ errors, signal: program.signalCode }).toEqual({ errors: '', signal: 'SIGKILL' });
  await nothingOf(lane.remains);
}

async function opensClean({ options, root }: Lane): Promise<void> {
  const runtime = await Runtime.open(options);
  const image = Image.host();
  expect(await Container.list({ runtime, all: true })).toEqual([]);
  for (const name of ['box0', 'box1', 'box2', 'made']) {
    const box = await Container.create({ image, runtime, name, argv: ['true'] });
    await box.remove();
  }
  expect((await Container.run(image, ['echo', 'works'], { runtime })).stdout).toBe('works\n');
  await runtime.close();
  expect(readdirSync(join(root, 'containers', '.names'))).toEqual([]);
}
