import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container } from '../../lib/index.js';
import { read } from '../helpers/chaos.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, soon } from '../helpers/patience.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const sh = (line: string, options: object = {}) =>
  Container.run(t.image, ['sh', '-c', line], { runtime: t.runtime, ...options });

/** Processes anywhere that have been started as `sleep <seconds>`. */
const sleepers = (seconds: string): string[] =>
  readdirSync('/proc').filter((pid) => read(`/proc/${pid}/cmdline`) === `sleep\0${seconds}\0`);

/** For the argument of a sleep that nobody else starts. */
let counted = 0;
const ownSeconds = (): string => `${process.pid}.${String(++counted).padStart(4, '0')}1`;

describe('spawn', () => {
  test('a gibibyte through cat is what went in', { timeout: 300_000 }, async () => {
    const box = await t.sleeper();
    const cat = await box.spawn(['cat']);
    const piece = randomBytes(1 << 20);
    const pieces = 1024;
    const expected = createHash('sha256');
    const received = createHash('sha256');
    const write = async (): Promise<void> => {
      for (let i = 0; i < pieces; i++) {
        piece.writeUInt32LE(i);
        const copy = Buffer.from(piece); // the pipe may still hold it when the next one is made
        expected.update(copy);
        if (cat.stdin?.write(copy) === false) await once(cat.stdin, 'drain');
      }
      cat.stdin?.end();
    };
    const readAll = async (): Promise<number> => {
      let bytes = 0;
      for await (const chunk of cat.stdout as AsyncIterable<Buffer>) {
        received.update(chunk);
        bytes += chunk.length;
      }
      return bytes;
    };
    cat.stderr?.resume();
    const [, bytes] = await Promise.all([write(), readAll()]);
    expect(bytes).toBe(pieces * piece.length);
    expect(received.digest('hex')).toBe(expected.digest('hex'));
    expect(await cat.exited).toMatchObject({ exitCode: 0 });
  });

  test('a reader that stops stops the writer', async () => {
    const box = await t.sleeper();
    const writer = await box.spawn(['cat', '/dev/zero']);
    const written = (): number =>
      Number(/^wchar: (\d+)$/m.exec(read(`/proc/${writer.pid}/io`))?.[1]);
    writer.stderr?.resume();
    await once(writer.stdout, 'readable');
    // As much as the pipe and the stream's buffer hold, and no more.
    let before = -1;
    for (let now = written(); now !== before; now = written()) {
      before = now;
      await sleep(100);
    }
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(2 << 20);
    writer.stdout.resume();
    await nothingOf(() => (written() > before + (4 << 20) ? [] : ['it does not go on']));
    writer.kill('SIGKILL');
    expect(await writer.exited).toMatchObject({ signal: 'SIGKILL', exitCode: null });
  });

  test('end of input; both outputs apart, every byte as it was', async () => {
    const box = await t.sleeper();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const tee = await box.spawn(['tee', '/dev/stderr']);
    tee.stdin?.end(bytes);
    const collect = async (stream: AsyncIterable<Buffer>): Promise<Buffer> => {
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const [stdout, stderr] = await Promise.all([
      collect(tee.stdout),
      collect(tee.stderr as AsyncIterable<Buffer>),
    ]);
    expect(stdout.equals(bytes)).toBe(true);
    expect(stderr.equals(bytes)).toBe(true);
    expect(await tee.exited).toMatchObject({ exitCode: 0 });
  });

  test('a grandchild in the background holds the pipe: it ends after the exit, and is complete', async () => {
    const box = await t.sleeper();
    const shell = await box.spawn(['sh', '-c', '(sleep 0.3; echo late) & echo early']);
    shell.stderr?.resume();
    let ended = false;
    const output = text(shell.stdout).finally(() => (ended = true));
    await shell.exited;
    expect(ended).toBe(false);
    expect(await output).toBe('early\nlate\n');
  });
});

test('/dev/stdout and /dev/stderr open for a user that is not root', async () => {
  // An ordinary user has a single id to give.
  const user = rootless ? '0:0' : '65534:65534';
  const line = 'id -u; echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin';
  const expected = { stdout: `${user.split(':')[0]}\nout\nin`, stderr: 'err\n', exitCode: 0 };
  expect(await sh(line, { user, input: 'in' })).toMatchObject(expected);
  const box = await t.sleeper();
  expect(await box.exec(['sh', '-c', line], { user, input: 'in' })).toMatchObject(expected);
});

describe('the last bytes', () => {
  const RUNS = 1000;
  const AT_ONCE = 8;

  const all = async (once: (i: number) => Promise<string>): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let i = next++; i < RUNS; i = next++) expect(await once(i)).toBe(`line ${i}\n`);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  };

  test(`of ${RUNS} runs`, { timeout: 300_000 }, async () => {
    await all(
      async (i) =>
        (await Container.run(t.image, ['echo', `line ${i}`], { runtime: t.runtime })).stdout,
    );
  });

  test(`of ${RUNS} execs`, { timeout: 300_000 }, async () => {
    const box = await t.sleeper();
    await all(async (i) => (await box.exec(['echo', `line ${i}`])).stdout);
  });

  test('of spawns, half of them read late', { timeout: 120_000 }, async () => {
    const box = await t.sleeper();
    for (let i = 0; i < 100; i++) {
      const echo = await box.spawn(['sh', '-c', `echo line ${i}; echo error ${i} >&2`]);
      if (i % 2 === 0) await echo.exited;
      const [stdout, stderr] = await Promise.all([
        text(echo.stdout),
        text(echo.stderr ?? echo.stdout),
      ]);
      expect([stdout, stderr]).toEqual([`line ${i}\n`, `error ${i}\n`]);
    }
  });
});

describe('collected output', () => {
  test('is cut at maxOutputBytes, which says so; the writer is not stopped', async () => {
    const options = { maxOutputBytes: 1000 };
    const line = 'head -c 1000000 /dev/zero; echo done >&2; exit 3';
    const box = await t.sleeper();
    for (const result of [await sh(line, options), await box.exec(['sh', '-c', line], options)]) {
      expect(result).toMatchObject({ exitCode: 3, truncated: true });
      expect(result.stdout).toHaveLength(1000);
    }
    const exact = await sh('head -c 1000 /dev/zero', options);
    expect(exact).toMatchObject({ truncated: false });
    expect(exact.stdout).toHaveLength(1000);
  });

  test('waits for a grandchild in the background that holds a pipe of an exec', async () => {
    const box = await t.sleeper();
    const result = await box.exec(['sh', '-c', '(sleep 0.3; echo late) & echo early']);
    expect(result).toMatchObject({ stdout: 'early\nlate\n', exitCode: 0 });
  });
});

describe('the whole tree ends', () => {
  // In a session and process group of its own, orphaned, deaf to what may be refused.
  const tree = (seconds: string): string[] => {
    const deaf = `trap "" TERM HUP INT; sleep ${seconds}`;
    return ['sh', '-c', `setsid sh -c '(${deaf}) & (${deaf})' & echo out; sleep ${seconds}`];
  };

  for (const verb of ['run', 'exec'] as const) {
    test(`${verb}: by timeoutMs`, async () => {
      const box = await t.sleeper();
      const seconds = ownSeconds();
      const { runtime } = t;
      const options = { timeoutMs: 300 };
      const call =
        verb === 'exec'
          ? box.exec(tree(seconds), options)
          : Container.run(t.image, tree(seconds), { runtime, ...options });
      const timedOut = { exitCode: null, signal: 'SIGKILL', reason: 'timeout', stdout: 'out\n' };
      expect(await soon(call, verb)).toMatchObject(timedOut);
      await nothingOf(() => sleepers(seconds));
      expect((await box.exec(['echo', 'alive'])).stdout).toBe('alive\n');
    });

    test(`${verb}: by an abort`, async () => {
      const box = await t.sleeper();
      const seconds = ownSeconds();
      const controller = new AbortController();
      const { runtime } = t;
      const options = { signal: controller.signal };
      const call =
        verb === 'exec'
          ? box.exec(tree(seconds), options)
          : Container.run(t.image, tree(seconds), { runtime, ...options });
      const rejected = rejection(call);
      await nothingOf(() => (sleepers(seconds).length >= 3 ? [] : ['the tree has not grown']));
      controller.abort('enough');
      expect(await soon(rejected, verb)).toMatchObject({
        name: 'AbortError',
        cause: 'enough',
        result: { reason: 'aborted', exitCode: null, signal: 'SIGKILL', stdout: 'out\n' },
      });
      await nothingOf(() => sleepers(seconds));
      expect((await box.exec(['echo', 'alive'])).stdout).toBe('alive\n');
    });
  }

  test('spawn: by timeoutMs, and by an abort', async () => {
    const box = await t.sleeper();
    const controller = new AbortController();
    for (const [options, reason] of [
      [{ timeoutMs: 300 }, 'timeout'],
      [{ signal: controller.signal }, 'aborted'],
    ] as const) {
      const seconds = ownSeconds();
      const child = await box.spawn(tree(seconds), options);
      child.stdout.resume();
      child.stderr?.resume();
      if (reason === 'aborted') {
        await nothingOf(() => (sleepers(seconds).length >= 3 ? [] : ['the tree has not grown']));
        controller.abort();
      }
      const exit = await soon(child.exited, reason);
      expect(exit).toMatchObject({ reason, exitCode: null, signal: 'SIGKILL' });
      await nothingOf(() => sleepers(seconds));
    }
    expect((await box.exec(['echo', 'alive'])).stdout).toBe('alive\n');
  });
});
