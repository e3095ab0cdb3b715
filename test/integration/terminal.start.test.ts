import { once } from 'node:events';
import { watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';

import type { Container, ContainerOptions, Process } from '../../lib/index.js';
import { anatomyOf, sigkill } from '../helpers/chaos.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, second } from '../helpers/patience.js';
import { rejection, testRuntime } from '../helpers/runtime.js';
import { Viewer } from '../helpers/viewer.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});

const start = (line: string, options: Partial<ContainerOptions> = {}): Promise<Container> =>
  t.sleeper({ argv: ['sh', '-c', line], tty: true, ...options });

/** Without an echo it shows what the program writes, and nothing else. */
const QUIET = 'stty -echo -onlcr; echo ready; ';

async function look(box: Container): Promise<Viewer & { process: Process }> {
  const process = await box.attach();
  return Object.assign(new Viewer(process), { process });
}

describe('a container with a terminal', () => {
  test('has it as stdio, console and controlling terminal, with its size from the first instruction', async () => {
    const line =
      '(stty size; tty; tty < /dev/tty; readlink /proc/self/fd/0 /proc/self/fd/2; ' +
      'stat -c %a /dev/pts/0; echo $TERM) > /tmp/seen; read x; echo to the console > /dev/console; cat';
    const box = await start(line, { tty: { columns: 120, rows: 40 } });
    const viewer = await look(box);
    viewer.type('go\n');
    await viewer.see('to the console');
    const { stdout } = await box.exec(['cat', '/tmp/seen']);
    const pts = '/dev/pts/0';
    expect(stdout).toBe(`40 120\n${pts}\n/dev/tty\n${pts}\n/dev/pts/0\n620\nxterm\n`);
    const { spec } = await box.inspect();
    expect(spec.process).toMatchObject({
      terminal: true,
      consoleSize: { height: 40, width: 120 },
    });
  });

  test('is typed on by several, who all see it as it is', async () => {
    const box = await start(`${QUIET}while read line; do printf 'got %s\\n' "$line"; done`);
    const [first, second] = await Promise.all([look(box), look(box)]);
    expect(first.process.stdin).toBe(first.process.stdout);
    expect(first.process.stderr).toBeNull();
    for (const [who, other, what] of [
      [first, second, 'one'],
      [second, first, 'two'],
    ] as const) {
      who.type(`${what}\n`);
      await Promise.all([who.see(`got ${what}\n`), other.see(`got ${what}\n`)]);
    }
    // One of them goes; the terminal stays.
    first.process.stdout.destroy();
    await first.process[Symbol.asyncDispose]();
    second.type('three\n');
    await second.see('got three\n');
    second.process.stdin!.end();
    expect(await second.process.exited).toMatchObject({ reason: 'exited' });
    await once(second.process.stdout, 'close');
    second.process.resize({ columns: 1, rows: 1 }); // too late is no mistake
  });

  test('is attached to and let go of at once by many', async () => {
    const box = await start(`${QUIET}while read line; do printf 'got %s\\n' "$line"; done`);
    for (let round = 0; round < 10; round++) {
      const all = await Promise.all(Array.from({ length: 20 }, () => look(box)));
      for (const { process } of all) process.resize({ columns: 80 + round, rows: 24 });
      all[round]!.type(`${round}\n`);
      await Promise.all(all.map((viewer) => viewer.see(`got ${round}\n`)));
      for (const { process } of all) await process[Symbol.asyncDispose]();
    }
    expect((await box.inspect()).state).toBe('running');
  });

  test('tells its foreground job of a resize, and interrupts it', async () => {
    const box = await t.sleeper({ argv: ['bash', '--norc'], env: { PS1: 'ready> ' }, tty: true });
    const viewer = await look(box);
    viewer.type('echo "now $((6 * 7))"\n');
    await viewer.see('now 42');
    // Before a prompt readline reads the size and sets it to what it has read.
    await viewer.see('ready> ');
    viewer.process.resize({ columns: 101, rows: 31 });
    viewer.type('stty size\n');
    await viewer.see('31 101');
    viewer.type('sleep 1001; echo "was $?"\n');
    await viewer.see('"was $?"');
    await sleep(200);
    viewer.type('\x03');
    await viewer.see('ready> ');
    viewer.type('exit 7\n');
    expect(await viewer.process.exited).toMatchObject({ exitCode: 7 });
  });

  test('goes on when nobody looks, and loses nothing at its end', async () => {
    const box = await start(`${QUIET}read x; seq 1 100000; printf last`);
    const process = await box.attach();
    process.stdin!.write('go\n');
    await process.exited; // its megabyte is more than any terminal holds
    const all = await text(process.stdout);
    const expected = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join('') + 'last';
    expect(all.slice(-expected.length) === expected).toBe(true);
  });

  test('has no delay', async () => {
    // Who comes sees what is shown from then on: it waits to be looked at.
    const box = await start('read x; stty raw -echo; echo ready; exec cat');
    const viewer = await look(box);
    viewer.type('\n');
    await viewer.see('ready');
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const before = performance.now();
      viewer.type(`<${i}>`);
      await viewer.see(`<${i}>`);
      times.push(performance.now() - before);
    }
    times.sort((a, b) => a - b);
    expect(times[25]).toBeLessThan(0.02 * second());
  });

  test('does without a log, and without input', async () => {
    const unlogged = await start('yes | head -c 1000000; exit 3', { log: { type: 'none' } });
    expect(await unlogged.wait()).toMatchObject({ exitCode: 3 });
    const deaf = await start(`${QUIET}sleep 0.3; echo done`, { stdin: 'ignore' });
    const process = await deaf.attach();
    expect(process.stdin).toBeNull();
    expect(await text(process.stdout)).toMatch(/done\n$/);
  });

  test('has a new one after a new start', async () => {
    const box = await start('echo again; exec sleep 1002');
    const before = await box.attach();
    await box.kill();
    await before.exited;
    await box.start();
    before.stdin!.write('nobody hears it');
    before.resize({ columns: 1, rows: 1 });
    const after = await box.attach();
    after.resize({ columns: 99, rows: 9 });
    expect((await box.exec(['stty', '-F', '/dev/pts/0', 'size'])).stdout).toBe('9 99\n');
    await after[Symbol.asyncDispose]();
    await before[Symbol.asyncDispose]();
  });
});

describe('its end', () => {
  test('comes with that of the container, whoever ends it', async () => {
    for (const end of [
      (box: Container) => box.kill(),
      (box: Container) => box.stop({ graceMs: 0 }),
      (box: Container) => box.remove({ force: true }),
    ]) {
      const box = await start('echo up; sleep 1003');
      const process = await box.attach();
      process.stdout.resume();
      const closed = once(process.stdout, 'close');
      await end(box);
      await closed;
      expect(await process.exited).toMatchObject({ signal: 'SIGKILL' });
      process.stdin!.write('x'); // closed: it says so to whoever wants to hear it
      process.stdin!.on('error', () => undefined);
      if (end.toString().includes('remove')) {
        expect(await rejection(box.attach())).toMatchObject({ code: 'ERR_CONTAINER_REMOVED' });
      } else {
        expect(await rejection(box.attach())).toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
      }
    }
  });

  test('comes with that of the supervisor, as lost', async () => {
    const box = await start('echo up; sleep 1004');
    const spawned = await box.spawn(['sh', '-c', 'echo said; sleep 1005'], { tty: true });
    await new Viewer(spawned).see('said');
    const attached = await box.attach();
    attached.stdout.resume();
    const { supervisor } = await anatomyOf(t.runtime);
    sigkill(supervisor);
    expect(await spawned.exited).toMatchObject({ reason: 'lost' });
    expect(await attached.exited).toMatchObject({ reason: 'lost' });
    await nothingOf(() => (spawned.stdout.destroyed ? [] : ['the stream']));
  });
});
