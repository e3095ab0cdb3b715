import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { expect } from 'vitest';

import { chaosLane, randomNumbers, SEED, sigkill, type Lane } from '../helpers/chaos.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, second } from '../helpers/patience.js';
import { startPrograms } from '../helpers/program.js';

const { describe, test } = needs('native', 'userns');
const programs = startPrograms();
checkLeaks();

/** Keeps a Runtime busy in whatever it is told to be: a thread, or a program of several Runtimes. */
const BUSY = `
  const busy = async ({ Container, Image, Runtime }, { options, env }) => {
    const image = Image.host();
    const runtime = await Runtime.open(options);
    const box = await Container.start({ image, runtime, env, argv: ['sleep', '1000'] });
    const forever = async (turn) => { for (;;) await turn(); };
    void forever(() => Container.run(image, ['sh', '-c', 'setsid sleep 1000 & echo x'], { runtime, env }));
    void forever(() => box.exec(['sh', '-c', 'setsid sleep 1000 & echo x'], { timeoutMs: 20 }));
    const cat = await box.spawn(['cat']);
    void forever(async () => {
      cat.stdin.write('x'.repeat(1000));
      await new Promise((next) => cat.stdout.once('data', next));
    });
    const shell = await box.spawn(['sh'], { tty: true });
    shell.stdout.on('data', () => shell.resize({ columns: 80, rows: 24 }));
    void forever(() => new Promise((next) => shell.stdin.write('echo x\\n', next)));
  };`;

const argument = ({ options, env }: Lane): string => JSON.stringify({ options, env });

describe('worker threads', () => {
  const THREADS = 3;
  const ROUNDS = 12;

  test(`terminated in the middle of it (CHAOS_SEED=${SEED})`, { timeout: 120_000 }, async () => {
    await using lane = await chaosLane();
    const random = randomNumbers(SEED);
    // How long each thread of each round is let work.
    const delays = Array.from({ length: ROUNDS }, () =>
      Array.from({ length: THREADS }, () => random() * 250),
    );
    const thread = `
      import * as caisson from ${JSON.stringify(pathToFileURL(programs.library).href)};
      import { workerData } from 'node:worker_threads';
      ${BUSY}
      await busy(caisson, workerData);`;
    const program = programs.start(
      `
      const { Worker } = await import('node:worker_threads');
      const workerData = JSON.parse(process.argv[1]);
      const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(thread)}));
      const failed = [];
      for (const delays of ${JSON.stringify(delays)}) {
        await Promise.all(delays.map(async (delay) => {
          const worker = new Worker(url, { workerData });
          worker.on('error', (error) => failed.push(error.stack ?? String(error)));
          await new Promise((online) => worker.once('online', online));
          await new Promise((later) => setTimeout(later, delay));
          await worker.terminate();
        }));
      }
      // The program is well, and can do so itself.
      const { Container, Image, Runtime } = caisson;
      const runtime = await Runtime.open(workerData.options);
      const { stdout } = await Container.run(Image.host(), ['echo', 'fine'], { runtime });
      await runtime.close();
      const { readlinkSync, readdirSync } = await import('node:fs');
      // Of what the threads had open nothing is: a Runtime has sockets, pidfds and pipes.
      const open = () => readdirSync('/proc/self/fd').flatMap((fd) => {
        try { return [readlinkSync('/proc/self/fd/' + fd)]; } catch { return []; }
      });
      const pidfds = () => open().filter((target) => /pidfd/.test(target));
      // The last threads' supervisors are still at their end, which is waited for behind.
      for (let i = 0; i < 250 && pidfds().length > 0; ++i) await new Promise((r) => setTimeout(r, 20));
      if (pidfds().length > 0) failed.push(pidfds().join());
      process.stdout.write(stdout + failed.join('\\n'));
      setInterval(() => undefined, 1000);`,
      [argument(lane)],
    );
    const errors = text(program.stderr);
    let output = '';
    for await (const chunk of program.stdout as AsyncIterable<Buffer>) {
      output += chunk.toString();
      if (output.includes('fine\n')) break;
    }
    // While the program lives: a thread's end is enough.
    await nothingOf(() => withoutItself(lane, program.pid));
    program.kill('SIGKILL');
    expect({ output, errors: await errors }).toEqual({ output: 'fine\n', errors: '' });
  });
});

const withoutItself = (lane: Lane, pid: number | undefined): string[] =>
  lane.remains().filter((line) => !line.startsWith(`process ${pid}: ${process.execPath}`));

test(
  'others that fork at random moments keep no supervisor alive',
  { timeout: 120_000 },
  async () => {
    await using lane = await chaosLane();
    const program = programs.start(
      `
    const { spawn } = await import('node:child_process');
    ${BUSY}
    const started = [];
    const fork = () => {
      started.push(spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).pid);
      if (started.length < 60) setTimeout(fork, Math.random() * 15);
      else process.stdout.write(JSON.stringify(started));
    };
    fork();
    await busy(caisson, JSON.parse(process.argv[1]));
    await new Promise(() => undefined);`,
      [argument(lane)],
    );
    const [output] = (await once(program.stdout, 'data')) as [Buffer];
    const sleeps = JSON.parse(output.toString()) as number[];
    try {
      await sleep(100);
      const closed = once(program, 'close');
      program.kill('SIGKILL');
      await closed;
      await nothingOf(lane.remains);
      for (const pid of sleeps) expect(process.kill(pid, 0)).toBe(true);
    } finally {
      for (const pid of sleeps) sigkill(pid);
    }
  },
);

describe('a program of several Runtimes that ends while they are busy', () => {
  for (const [what, end] of [
    ['process.exit()', 'process.exit(7)'],
    ['an uncaught throw', 'throw new Error("uncaught")'],
    ['a rejection nobody handles', 'void Promise.reject(new Error("unhandled"))'],
    ['SIGTERM', 'process.kill(process.pid, "SIGTERM")'],
    ['abort()', 'process.abort()'],
  ] as const) {
    test(what, async () => {
      const lanes = await Promise.all([chaosLane(), chaosLane()]);
      try {
        const program = programs.start(
          `${BUSY}
          const lanes = process.argv.slice(1).map((lane) => JSON.parse(lane));
          await Promise.all([...lanes, ...lanes].map((lane) => busy(caisson, lane)));
          setTimeout(() => { ${end}; }, 50);`,
          lanes.map(argument),
        );
        program.stderr.resume();
        program.stdout.resume();
        await once(program, 'exit');
        if (end.includes('exit')) expect(program.exitCode).toBe(7);
        else expect(program.exitCode).not.toBe(0);
        const all = (): string[] => lanes.flatMap((lane) => lane.remains());
        await nothingOf(all, second());
      } finally {
        await Promise.all(lanes.map((lane) => lane.remove()));
      }
    });
  }
});
