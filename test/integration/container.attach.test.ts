import { watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';

import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});

const Y = 'y'.charCodeAt(0);
const loop = (body: string): string[] => ['sh', '-c', `while read line; do ${body}; done`];

describe('attach', () => {
  test('joins pid 1: input, output from now on, both streams, its end', async () => {
    const argv = loop('echo "out $line"; echo "err $line" >&2');
    await using box = await t.sleeper({ argv, stdin: 'pipe' });
    const first = await box.attach();
    first.stdin?.write('one\n');
    // Both, or the second one would join between them.
    await Promise.all([take(first.stdout, 'out one\n'), take(first.stderr, 'err one\n')]);
    await first[Symbol.asyncDispose]();
    expect((await box.inspect()).state).toBe('running');

    const second = await box.attach();
    expect(second.pid).toBe((await box.inspect()).pid);
    second.stdin?.write('two\n');
    second.stdin?.end();
    const [all, errors, exit] = await Promise.all([
      text(second.stdout),
      text(second.stderr),
      second.exited,
    ]);
    expect([all, errors]).toEqual(['out two\n', 'err two\n']);
    expect(exit).toMatchObject({ exitCode: expect.any(Number) as number, reason: 'exited' });
  });

  test('the last bytes come before the end', async () => {
    const argv = ['sh', '-c', 'read x; head -c 3000000 /dev/zero; echo last'];
    await using box = await t.sleeper({ argv, stdin: 'pipe' });
    const process = await box.attach();
    process.stdin?.end('go\n');
    const all = await text(process.stdout);
    expect(all.length).toBe(3_000_005);
    expect(all.endsWith('last\n')).toBe(true);
  });

  test('one that stops reading holds up neither the other stream nor the container', async () => {
    const argv = ['sh', '-c', 'read x; head -c 3000000 /dev/zero >&2; echo done; sleep 1000'];
    await using box = await t.sleeper({ argv, stdin: 'pipe' });
    const process = await box.attach();
    process.stdin?.end('go\n');
    expect(await take(process.stdout, 'done\n')).toEqual(['done\n']);
    await process[Symbol.asyncDispose]();
  });

  test('follows the log over its rotations, and the log stays within its bounds', async () => {
    const argv = [
      'sh',
      '-c',
      'read x; i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done',
    ];
    const log = { type: 'file', maxBytes: '64KiB', files: 20 } as const;
    await using box = await t.sleeper({ argv, stdin: 'pipe', log });
    const process = await box.attach();
    process.stdin?.end('go\n');
    const lines = (await text(process.stdout)).trimEnd().split('\n');
    expect(lines).toHaveLength(5000);
    expect(lines.every((line, i) => line === `line ${i}`)).toBe(true);
  });

  test('a container nobody reads never blocks', async () => {
    const argv = ['sh', '-c', 'head -c 20000000 /dev/zero; exit 3'];
    const log = { type: 'file', maxBytes: '1MiB', files: 2 } as const;
    await using box = await t.sleeper({ argv, log });
    expect(await box.wait()).toMatchObject({ exitCode: 3 });
  });

  test('joined at any moment, also in the middle of a write or a rotation, it gets whole pieces', async () => {
    const argv = ['sh', '-c', 'while :; do head -c 5000000 /dev/zero; done | tr "\\0" y'];
    const log = { type: 'file', maxBytes: '1MiB', files: 3 } as const;
    await using box = await t.sleeper({ argv, log });
    for (let i = 0; i < 60; i++) {
      const process = await box.attach();
      let bytes = 0;
      for await (const piece of process.stdout) {
        expect((piece as Buffer).every((byte) => byte === Y)).toBe(true);
        bytes += (piece as Buffer).length;
        if (bytes > 200_000) break;
      }
      await process[Symbol.asyncDispose]();
    }
  });

  test('an ended one and one without a log cannot be attached to', async () => {
    await using box = await t.sleeper({ argv: ['true'] });
    await box.wait();
    expect(await rejection(box.attach())).toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
    await using silent = await t.sleeper({ log: { type: 'none' } });
    expect(await rejection(silent.attach())).toMatchObject({ code: 'ERR_UNSUPPORTED' });
  });

  test('signals go to pid 1', async () => {
    const argv = ['sh', '-c', 'trap "exit 6" TERM; while :; do sleep 0.05; done'];
    await using box = await t.sleeper({ argv });
    await sleep(200);
    const process = await box.attach();
    const refused = (): void => process.kill('SIGFOO' as NodeJS.Signals);
    expect(refused).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    process.kill();
    expect(await process.exited).toMatchObject({ exitCode: 6 });
    expect(refused).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    await process[Symbol.asyncDispose]();
  });
});

async function text(stream: NodeJS.ReadableStream | null): Promise<string> {
  let all = '';
  if (stream !== null) for await (const chunk of stream) all += String(chunk);
  return all;
}

/** Reads until `wanted` has come. */
async function take(stream: NodeJS.ReadableStream | null, wanted: string): Promise<string[]> {
  const pieces: string[] = [];
  await new Promise<void>((resolve) => {
    stream?.on('data', (chunk) => {
      pieces.push(String(chunk));
      if (pieces.join('').includes(wanted)) resolve();
    });
  });
  return [pieces.join('')];
}
