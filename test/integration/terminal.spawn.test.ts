import { once } from 'node:events';
import { readlinkSync, readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import type { Container, Process, SpawnOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, second, soon } from '../helpers/patience.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { Viewer } from '../helpers/viewer.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const spawn = (box: Container, line: string, options: SpawnOptions = {}): Promise<Process> =>
  box.spawn(['sh', '-c', line], { tty: true, ...options });

/** What a command shows on its terminal. */
async function shown(box: Container, line: string, options?: SpawnOptions): Promise<string> {
  const process = await spawn(box, line, options);
  const all = await text(process.stdout);
  expect(await process.exited).toMatchObject({ exitCode: 0 });
  return all;
}

async function bash(
  box: Container,
  options: SpawnOptions = {},
): Promise<Viewer & { process: Process }> {
  const process = await box.spawn(['bash', '--norc', '--noprofile'], {
    tty: { columns: 100, rows: 30 },
    ...options,
    env: { PS1: 'ready> ', ...options.env },
  });
  const viewer = Object.assign(new Viewer(process), { process });
  await viewer.see('ready> ');
  return viewer;
}

/** Descriptors of this process that are masters of a terminal. */
const masters = (): string[] =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith('ptmx');
    } catch {
      return false; // the one that listed them
    }
  });

describe('a terminal', () => {
  test('is stdio, in the devpts of the container, and controls its session', async () => {
    const box = await t.sleeper();
    const lines = [
      'for fd in 0 1 2; do readlink /proc/self/fd/$fd; done',
      'tty < /dev/tty && ps -o tty= -p $$ && stat -c %a:%u $(tty)',
      'echo $TERM; grep -c " /dev/pts " /proc/mounts; ls -1 /dev/pts',
    ];
    const process = await spawn(box, lines.join(';'));
    expect(process.stdin).toBe(process.stdout);
    expect(process.stderr).toBeNull();
    const all = (await text(process.stdout)).split('\r\n');
    const pts = '/dev/pts/0';
    expect(all).toEqual([
      pts,
      pts,
      pts,
      '/dev/tty',
      'pts/0',
      '620:0',
      'xterm',
      '1',
      '0',
      'ptmx',
      '',
    ]);
  });

  test('has its size from the first instruction on', async () => {
    const box = await t.sleeper();
    const size = async (tty: SpawnOptions['tty']): Promise<string> =>
      await text((await box.spawn(['stty', 'size'], { tty: tty! })).stdout);
    expect(await size(true)).toBe('24 80\r\n');
    expect(await size({ columns: 132, rows: 50 })).toBe('50 132\r\n');
    expect(await size({ columns: 65_535, rows: 1 })).toBe('1 65535\r\n');
  });

  test('belongs to the user of the process', { skip: rootless }, async () => {
    const box = await t.sleeper();
    const line = 'stat -c %a:%u:%g $(tty); id -u; echo x > /dev/tty; echo y > /dev/stderr';
    expect(await shown(box, line, { user: '1000:1000' })).toBe('620:1000:5\r\n1000\r\nx\r\ny\r\n');
  });

  test('is each process its own, and TERM can be set', async () => {
    const box = await t.sleeper();
    const first = await bash(box);
    expect(await shown(box, 'tty; echo $TERM', { env: { TERM: 'vt100' } })).toBe(
      '/dev/pts/1\r\nvt100\r\n',
    );
    first.type('exit\n');
    await first.process.exited;
  });

  test('follows a resize, and tells the foreground job', async () => {
    const box = await t.sleeper();
    const process = await spawn(
      box,
      'trap "stty size" WINCH; echo go; while :; do sleep 0.02; done',
    );
    const viewer = new Viewer(process);
    await viewer.see('go');
    process.resize({ columns: 90, rows: 20 });
    await viewer.see('20 90');
    // A flood of them: the last one holds.
    for (let i = 1; i <= 5000; i++) process.resize({ columns: i, rows: 7 });
    await viewer.see('7 5000');
    process.kill('SIGKILL');
    await process.exited;
    process.resize({ columns: 1, rows: 1 }); // too late is no mistake
  });

  test('has job control: Ctrl-C, Ctrl-Z, jobs, fg, Ctrl-D', async () => {
    const box = await t.sleeper();
    const shell = await bash(box);
    shell.type('sleep 1001\n');
    await shell.see('sleep 1001');
    await until(box, 'sleep 1001');
    shell.type('\x1a');
    await shell.see(/Stopped.*sleep 1001/);
    shell.type('jobs\n');
    await shell.see(/Stopped.*sleep 1001/);
    shell.type('fg\n');
    await shell.see('sleep 1001\r\n');
    await sleep(50);
    shell.type('\x03');
    await shell.see('ready> ');
    shell.type('\x04'); // the status of the shell is that of its last command
    expect(await shell.process.exited).toMatchObject({ exitCode: 130, reason: 'exited' });
  });

  test('takes vim and top', async () => {
    const box = await t.sleeper();
    const vim = await box.spawn(['vim', '-u', 'NONE', '-n', '/tmp/note'], { tty: true });
    const editor = new Viewer(vim);
    await editor.see('/tmp/note');
    editor.type('ihello from vim\x1b:wq\r');
    expect(await vim.exited).toMatchObject({ exitCode: 0 });
    expect((await box.exec(['cat', '/tmp/note'])).stdout).toBe('hello from vim\n');

    const top = await box.spawn(['top', '-d', '0.1'], { tty: { columns: 80, rows: 10 } });
    const watcher = new Viewer(top);
    await watcher.see('PID');
    top.resize({ columns: 80, rows: 20 });
    await watcher.see('PID');
    watcher.type('q');
    expect(await top.exited).toMatchObject({ exitCode: 0 });
  });
});

/** Waits until a process is there that `ps` shows so. */
async function until(box: Container, args: string): Promise<void> {
  await come(async () => {
    const { stdout } = await box.exec(['ps', '-eo', 'args=']);
    return stdout.split('\n').includes(args);
  });
}

async function come(look: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10 * second();
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error('it did not come');
    await sleep(20);
  }
}

describe('its end of input', () => {
  test('is Ctrl-D, twice within a line', async () => {
    const box = await t.sleeper();
    for (const [input, output] of [
      ['', ''],
      ['whole\n', 'whole\n'],
      ['begun', 'begun'],
      ['one\ntwo', 'one\ntwo'],
      ['handed over\x04', 'handed over'],
    ] as const) {
      const process = await spawn(box, 'stty -echo -onlcr; echo go; cat; echo end');
      const viewer = new Viewer(process);
      await viewer.see('go\n');
      process.stdin!.end(input);
      expect(await viewer.see('end\n')).toBe(`${output}end\n`);
      expect(await process.exited).toMatchObject({ exitCode: 0 });
    }
  });

  test('is what stty says it is, and reaches a shell that reads by itself', async () => {
    const box = await t.sleeper();
    const process = await spawn(box, 'stty -echo eof x; echo go; cat; echo end');
    const viewer = new Viewer(process);
    await viewer.see('go');
    process.stdin!.end();
    await viewer.see('end');

    const shell = await bash(box); // whose readline takes single keys
    shell.process.stdin!.end();
    expect(await shell.process.exited).toMatchObject({ exitCode: 0 });
  });

  test('leaves what it shows open', async () => {
    const box = await t.sleeper();
    const process = await spawn(box, 'cat > /dev/null; sleep 0.2; echo later');
    process.stdin!.end();
    expect(await text(process.stdout)).toMatch(/later\r\n$/);
  });
});

describe('what goes through it', () => {
  test('is not lost at the end, whoever reads when', async () => {
    const box = await t.sleeper();
    const line = 'stty -onlcr; seq 1 2000';
    const all = Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join('');
    for (let i = 0; i < 5; i++) expect(await shown(box, line)).toBe(all);

    // Less than a terminal holds: it has ended before somebody reads.
    const process = await spawn(box, 'stty -onlcr; seq 1 1500');
    await process.exited;
    await nothingOf(masters);
    expect(await text(process.stdout)).toBe(all.slice(0, all.indexOf('1501\n')));
  });

  test('is whole both ways, and stops for a reader that stops', async () => {
    const box = await t.sleeper();
    const process = await spawn(box, 'stty raw -echo; echo go; head -c 2000000 | sha256sum');
    const viewer = new Viewer(process);
    await viewer.see('go');
    const block = Buffer.alloc(100_000, 'abcdefghi\n');
    for (let i = 0; i < 20; i++)
      if (!process.stdin!.write(block)) await once(process.stdin!, 'drain');
    const { stdout } = await box.exec(['sh', '-c', 'yes abcdefghi | head -c 2000000 | sha256sum']);
    await viewer.see(stdout.slice(0, 64));

    const writer = await spawn(box, 'echo go; yes > /dev/tty; echo never');
    await once(writer.stdout, 'readable');
    await sleep(200);
    const held = writer.stdout.readableLength;
    expect(held).toBeLessThan(256 * 1024);
    await sleep(200);
    expect(writer.stdout.readableLength).toBe(held);
    writer.kill('SIGKILL');
    await writer.exited;
  });

  test('comes from more than one at once', async () => {
    const box = await t.sleeper();
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => shown(box, `stty size; echo ${i}`)),
    );
    expect(all).toEqual(all.map((_, i) => `24 80\r\n${i}\r\n`));
  });
});

describe('its end', () => {
  test('is that of the process, which others on it do not put off', async () => {
    const box = await t.sleeper();
    const process = await spawn(
      box,
      'sleep 1002 & trap "" HUP; (while echo more; do sleep 0.01; done) & echo done',
    );
    const viewer = new Viewer(process);
    await viewer.see('done');
    await process.exited;
    await soon(finished(process.stdout), 'the end of a terminal');
    // Hung up, the loop's echo fails.
    await come(async () => !(await box.exec(['ps', '-eo', 'args='])).stdout.includes('sleep 0.01'));
  });

  test('is not that of one who closes it for a while', async () => {
    const box = await t.sleeper();
    const line =
      'exec 3<&0 4>&1; exec < /dev/null > /dev/null 2>&1 3<&- 4>&-; sleep 0.3; echo back > /dev/tty';
    expect(await shown(box, line)).toBe('back\r\n');
  });

  test('comes when it is destroyed: the process is hung up', async () => {
    const box = await t.sleeper();
    const process = await spawn(box, 'echo go; sleep 1003');
    await new Viewer(process).see('go');
    process.stdout.destroy();
    expect(await process.exited).toMatchObject({ signal: 'SIGHUP' });
    process.resize({ columns: 3, rows: 3 });
  });

  test('comes with a kill, a timeout, an abort and dispose', async () => {
    const box = await t.sleeper();
    const killed = await spawn(box, 'sleep 1004');
    killed.kill('SIGKILL');
    expect(await text(killed.stdout)).toBe('');
    expect(await killed.exited).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });

    const late = await spawn(box, 'echo so far; sleep 1005', { timeoutMs: 200 });
    expect(await text(late.stdout)).toBe('so far\r\n');
    expect(await late.exited).toMatchObject({ reason: 'timeout' });

    const abort = new AbortController();
    const aborted = await spawn(box, 'sleep 1006', { signal: abort.signal });
    abort.abort();
    expect(await aborted.exited).toMatchObject({ reason: 'aborted' });

    const disposed = await spawn(box, 'sleep 1007');
    await disposed[Symbol.asyncDispose]();
    expect(disposed.stdout.destroyed).toBe(true);

    const orphan = await spawn(box, 'echo last words; sleep 1008');
    await once(orphan.stdout, 'readable');
    await box.remove({ force: true });
    expect(await text(orphan.stdout)).toBe('last words\r\n');
    expect(await orphan.exited).toMatchObject({ reason: 'killed' });
    await nothingOf(masters);
  });

  test('a command that is not there leaves no terminal', async () => {
    const box = await t.sleeper();
    expect(await rejection(box.spawn(['/no/such'], { tty: true }))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
    expect((await box.exec(['ls', '/dev/pts'])).stdout).toBe('ptmx\n');
    expect(masters()).toEqual([]);
  });
});

describe('what is refused', () => {
  test('sizes that are none, and a resize without a terminal', async () => {
    const box = await t.sleeper();
    const wrong = { columns: 0, rows: 1 };
    expect(await rejection(box.spawn(['sh'], { tty: wrong }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'tty.columns' },
    });
    await using process = await box.spawn(['sleep', '1009']);
    expect(() => {
      process.resize({ columns: 80, rows: 24 });
    }).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }));
    expect(() => {
      process.resize(wrong);
    }).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
  });

  test('a devpts that is none', { skip: rootless }, async () => {
    // The container itself has put something else there: what is opened is devpts' or nothing.
    const box = await t.sleeper({ security: { capAdd: ['SYS_ADMIN'], seccomp: 'unconfined' } });
    await box.exec(['sh', '-c', 'mount -t tmpfs none /dev/pts && mkfifo /dev/pts/ptmx'], {
      check: true,
    });
    expect(await rejection(box.spawn(['sh'], { tty: true }))).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'terminal' },
    });
  });
});
