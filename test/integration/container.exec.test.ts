import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Runtime, type Container, type ContainerOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { second, timeoutMs, times } from '../helpers/patience.js';
import { oneId, rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

describe('exec', () => {
  test('joins the container: its processes, files, name, environment, folder', async () => {
    await using box = await t.sleeper({ hostname: 'box', env: { A: '1' }, cwd: '/tmp' });
    await box.exec(['sh', '-c', 'echo kept > /tmp/x']);
    const line = 'cat /tmp/x; hostname; echo $A $B; pwd; tr "\\0" " " < /proc/1/cmdline';
    const { stdout, exitCode } = await box.exec(['sh', '-c', line], { env: { B: '2' } });
    expect(stdout).toBe('kept\nbox\n1 2\n/tmp\nsleep infinity ');
    expect(exitCode).toBe(0);
    expect((await box.exec(['pwd'], { cwd: '/usr' })).stdout).toBe('/usr\n');
  });

  test('what the container may not, it may not', async () => {
    await using box = await t.sleeper({
      security: { capDrop: ['ALL'], noNewPrivileges: true, ulimits: { nofile: 50 } },
    });
    const line = 'grep -E "^(CapBnd|CapEff|NoNewPrivs)" /proc/self/status; ulimit -n';
    expect((await box.exec(['sh', '-c', line])).stdout).toBe(
      'CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n50\n',
    );
  });

  test('input, output, exit code, check, bytes', async () => {
    await using box = await t.sleeper();
    expect((await box.exec(['cat'], { input: 'hello' })).stdout).toBe('hello');
    expect((await box.exec(['sh', '-c', 'exit 9'])).exitCode).toBe(9);
    expect(await rejection(box.exec(['false'], { check: true }))).toMatchObject({
      code: 'ERR_EXEC_FAILED',
      result: { exitCode: 1 },
    });
    const bytes = await box.exec(['printf', '\\377\\000'], { encoding: 'buffer' });
    expect([...bytes.stdout]).toEqual([255, 0]);
  });

  test.skipIf(oneId)('as another user', async () => {
    await using box = await t.sleeper();
    const { stdout } = await box.exec(['sh', '-c', 'id -u; id -g; echo $HOME'], {
      user: 'nobody',
    });
    expect(stdout).toMatch(/^65534\n65534\n\/nonexistent\n$/);
  });

  test('a timeout kills its tree and nothing else', async () => {
    await using box = await t.sleeper();
    const line = 'echo so far; setsid sleep 4242 & sleep 4242';
    const result = await box.exec(['sh', '-c', line], { timeoutMs: timeoutMs(0.2) });
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'timeout' });
    expect(result.stdout).toBe('so far\n');
    expect((await box.inspect()).state).toBe('running');
    const left = await box.exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
    expect(left.stdout).not.toContain('4242');
  });

  test('an abort does too, and has the output so far', async () => {
    await using box = await t.sleeper();
    const controller = new AbortController();
    const call = box.exec(['sh', '-c', 'echo so far; sleep 4242 & sleep 4242'], {
      signal: controller.signal,
    });
    await sleep(0.2 * second());
    controller.abort('enough');
    expect(await rejection(call)).toMatchObject({
      name: 'AbortError',
      cause: 'enough',
      result: { reason: 'aborted', stdout: 'so far\n', exitCode: null },
    });
    const left = await box.exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
    expect(left.stdout).not.toContain('4242');
  });

  test('an error names what was asked, not what the container has', async () => {
    await using box = await t.sleeper({ cwd: '/tmp' });
    const asked = { cwd: '/nonesuch', env: { PATH: '/elsewhere:/bin' } };
    const calls = [box.exec(['true'], asked), box.spawn(['true'], asked)];
    for (const error of await Promise.all(calls.map(rejection))) {
      expect(error).toMatchObject({
        code: 'ERR_LAUNCH_FAILED',
        details: { step: 'workdir', errno: 'ENOENT', path: '/nonesuch' },
        cause: { path: '/nonesuch' },
      });
    }
    expect(await rejection(box.exec(['nonesuch'], { env: asked.env }))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
      details: { searched: '/elsewhere:/bin' },
    });
  });

  test('many at once', async () => {
    await using box = await t.sleeper();
    const results = await Promise.all(
      Array.from({ length: times(40) }, (_, i) => box.exec(['sh', '-c', `echo ${i}; exit ${i}`])),
    );
    for (const [i, { stdout, exitCode }] of results.entries()) {
      expect([stdout, exitCode]).toEqual([`${i}\n`, i]);
    }
  });

  test('those of a container that is killed end with it', async () => {
    await using box = await t.sleeper();
    const running = box.exec(['sh', '-c', 'echo so far; sleep 1000']);
    await sleep(0.2 * second());
    await box.kill();
    expect(await running).toMatchObject({ exitCode: null, signal: 'SIGKILL', stdout: 'so far\n' });
  });

  test.each<[string, string, Partial<ContainerOptions>, (box: Container) => unknown]>([
    ['kill', 'killed', {}, (box) => box.kill()],
    ['stop', 'killed', {}, (box) => box.stop({ graceMs: 0 })],
    ['remove', 'killed', {}, (box) => box.remove({ force: true })],
    ['close', 'killed', {}, () => t.runtime.close()],
    ['timeout', 'killed', { timeoutMs: 2_000 }, () => undefined],
    ['its own end', 'signaled', { argv: ['sleep', '2'] }, () => undefined],
  ])('%s of the container: they were %s', async (_, reason, options, end) => {
    const box = await t.sleeper(options);
    const call = box.exec(['sleep', '1001']);
    const spawned = await box.spawn(['sh', '-c', 'sleep 1000 & sleep 1000']);
    // The call is under way, too.
    while ((await box.exec(['pgrep', '-fx', 'sleep 1001'])).exitCode !== 0) await sleep(10);
    const ended = await box.spawn(['sh', '-c', 'exit 3']);
    expect(await ended.exited).toMatchObject({ exitCode: 3, reason: 'exited' });
    await end(box);
    const expected = { exitCode: null, signal: 'SIGKILL', reason };
    expect(await call).toMatchObject(expected);
    expect(await spawned.exited).toMatchObject(expected);
    await box.remove({ force: true });
  });
});

test('the runtime of a call on a container is its own or none', async () => {
  await using box = await t.sleeper();
  await using other = await Runtime.open(t.store.options);
  for (const runtime of ['x', null, other] as never[]) {
    const calls = [
      box.exec(['true'], { runtime }),
      box.spawn(['true'], { runtime }),
      box.start({ runtime }),
      box.wait({ runtime, until: 'running' }),
    ];
    for (const error of await Promise.all(calls.map(rejection))) {
      expect(error).toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        details: { option: 'runtime' },
      });
    }
  }
  const { runtime } = t;
  expect((await box.exec(['true'], { runtime })).exitCode).toBe(0);
  await (
    await box.spawn(['true'], { runtime })
  ).exited;
  await box.wait({ runtime, until: 'running' });
});

test('sh quotes its values', async () => {
  await using box = await t.sleeper();
  const nasty = `a b; echo $HOME "q" 'q' \\ \`x\` \n*`;
  const { stdout } = await box.sh`printf '%s|' ${nasty} ${['x y', '$z']} ${7} plain`;
  expect(stdout).toBe(`${nasty}|x y|$z|7|plain|`);
  expect((await box.sh`printf 'a\.b\n'; echo \${HOME}`).stdout).toBe('a\\.b\n/root\n');
});

describe('spawn', () => {
  test('streams, a real end of input, a pid of this machine', async () => {
    await using box = await t.sleeper();
    const process = await box.spawn(['sh', '-c', 'cat; echo done >&2; exit 5']);
    expect(readFileSync(`/proc/${process.pid}/cmdline`, 'utf8')).toContain('cat');
    expect(await box.processes()).toEqual([process]);
    expect(await box.getProcess(process.id)).toBe(process);
    process.stdin?.write('one\n');
    process.stdin?.end('two\n');
    const [out, err, exit] = await Promise.all([
      text(process.stdout),
      text(process.stderr),
      process.exited,
    ]);
    expect([out, err]).toEqual(['one\ntwo\n', 'done\n']);
    expect(exit).toMatchObject({ exitCode: 5, reason: 'exited' });
    expect(await box.processes()).toEqual([]);
    expect(await rejection(box.getProcess(process.id))).toMatchObject({
      code: 'ERR_PROCESS_NOT_FOUND',
    });
  });

  test('a reader that stops stops the writer', async () => {
    await using box = await t.sleeper();
    const process = await box.spawn(['sh', '-c', 'head -c 50000000 /dev/zero; touch /tmp/done']);
    await sleep(300);
    expect((await box.exec(['test', '-e', '/tmp/done'])).exitCode).toBe(1);
    let bytes = 0;
    for await (const chunk of process.stdout) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(50_000_000);
    expect((await process.exited).exitCode).toBe(0);
  });

  test('signals go to it; SIGKILL to its tree', async () => {
    await using box = await t.sleeper();
    const one = await box.spawn([
      'sh',
      '-c',
      'trap "echo caught; exit 3" USR1; echo up; while :; do sleep 0.05; done',
    ]);
    const out = text(one.stdout);
    await sleep(150);
    one.kill('SIGUSR1');
    expect(await one.exited).toMatchObject({ exitCode: 3 });
    expect(await out).toBe('up\ncaught\n');

    const two = await box.spawn(['sh', '-c', 'sleep 4242 & sleep 4242']);
    two.kill('SIGKILL');
    expect(await two.exited).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    const left = await box.exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
    expect(left.stdout).not.toContain('4242');
    two.kill(); // has ended: nothing
  });

  test('without stdin, with a timeout, aborted, disposed', async () => {
    await using box = await t.sleeper();
    const empty = await box.spawn(['cat'], { stdin: 'ignore' });
    expect(empty.stdin).toBeNull();
    expect(await empty.exited).toMatchObject({ exitCode: 0 });

    const late = await box.spawn(['sleep', '1000'], { timeoutMs: timeoutMs(0.1) });
    expect(await late.exited).toMatchObject({ reason: 'timeout', exitCode: null });

    const aborted = await box.spawn(['sleep', '1000'], {
      signal: AbortSignal.timeout(Math.ceil(0.1 * second())),
    });
    expect(await aborted.exited).toMatchObject({ reason: 'aborted', exitCode: null });

    expect(
      await rejection(box.spawn(['sleep', '1000'], { signal: AbortSignal.abort('x') })),
    ).toMatchObject({ name: 'AbortError', cause: 'x' });

    const disposed = await box.spawn(['sleep', '1000']);
    await disposed[Symbol.asyncDispose]();
    expect(await disposed.exited).toMatchObject({ reason: 'killed' });
    await disposed[Symbol.asyncDispose]();
  });

  test('what cannot be started rejects, and leaves no pipe', async () => {
    await using box = await t.sleeper();
    expect(await rejection(box.spawn(['nonesuch']))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
      details: { command: 'nonesuch' },
    });
    const process = await box.spawn(['true']);
    expect(() => {
      process.resize({ columns: 1, rows: 1 });
    }).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }));
    await process.exited;
  });
});

async function text(stream: NodeJS.ReadableStream | null): Promise<string> {
  let all = '';
  if (stream !== null) for await (const chunk of stream) all += String(chunk);
  return all;
}
