// Needs: the built addon and its test peer. The channel itself: messages, descriptors, big bodies, the end.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Tag, Type } from '../../lib/native/protocol.js';
import { FieldWriter } from '../../lib/native/wire.js';
import { Fake, loadBinding, NOTHING } from '../helpers/fake.js';
import { checkLeaks } from '../helpers/leak.js';
import { longestHold } from '../helpers/loop-hold.js';
import { nativeFile, repository, SANITIZED } from '../helpers/native.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('binding');

describe('Channel', () => {
  checkLeaks();

  test('starts the supervisor with the channel, a pidfd and nothing else', async () => {
    process.env['CAISSON_TEST_MARK'] = 'must not be passed on';
    await using fake = new Fake();
    delete process.env['CAISSON_TEST_MARK'];
    const text = (await fake.ask(Type.import)).fields.string(Tag.detail)!;
    const lines = text.trimEnd().split('\n');
    expect(lines).toContain('arg supervise');
    expect(lines).toContain('arg zwölf');
    expect(lines.filter((line) => line.startsWith('env '))).toEqual([]);
    const fds = lines.filter((line) => line.startsWith('fd ')).sort();
    expect(fds.slice(0, 3)).toEqual(['fd 0 /dev/null', 'fd 1 /dev/null', 'fd 2 /dev/null']);
    expect(fds[3]).toMatch(/^fd 3 socket:/);
    expect(fds[4]).toMatch(/^fd 4 (anon_inode:\[pidfd\]|pidfd:)/);
    expect(fds).toHaveLength(5);
    expect(lines).toContain('SigBlk:\t0000000000000000');
    expect(lines).toContain('SigIgn:\t0000000000000000');
    expect(lines).toContain('channel blocking');
  });

  test('CAISSON_DEBUG in the program keeps its stderr', async () => {
    process.env['CAISSON_DEBUG'] = '1';
    const fake = new Fake();
    delete process.env['CAISSON_DEBUG'];
    const text = (await fake.ask(Type.import)).fields.string(Tag.detail)!;
    await fake[Symbol.asyncDispose]();
    expect(text).not.toContain('fd 2 /dev/null');
    expect(text).toContain('fd 2 ');
  });

  test('answers by id, bodies of every size, through a memfd when they are big', async () => {
    await using fake = new Fake();
    for (const size of [0, 1, 4096, 64 * 1024, 64 * 1024 + 1, 10 * 1024 * 1024]) {
      const body = Buffer.alloc(size, size % 251);
      const answer = await fake.ask(Type.resize, body);
      expect(answer.type).toBe(Type.done);
      expect(answer.body.equals(body)).toBe(true);
      expect(answer.fds).toEqual([]);
    }
  });

  test('passes descriptors both ways and closes those it was told to', async () => {
    await using fake = new Fake();
    const path = `${repository}/package.json`;
    const kept = openSync(path, 'r');
    const given = openSync(path, 'r');
    const alone = openSync(path, 'r');
    const id = fake.nextId();
    const looked = fake.lookAt(id, (answer) => {
      for (const fd of answer.fds) {
        expect(fstatSync(fd).ino).toBe(fstatSync(kept).ino);
        // Close-on-exec from birth.
        const flags = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
        expect(parseInt(flags![1]!, 8) & 0o2000000).not.toBe(0);
      }
      return answer.fds;
    });
    fake.channel.send(Type.resize, id, NOTHING, [kept, given, kept], [given, alone, given]);
    const fds = await looked;
    await sleep(0); // out of the callback
    expect(fds).toHaveLength(3);
    for (const fd of fds) expect(() => fstatSync(fd)).toThrow('EBADF');
    expect(() => fstatSync(given)).toThrow('EBADF');
    expect(() => fstatSync(alone)).toThrow('EBADF');
    closeSync(kept);
  });

  test('queues what does not fit, descriptors included, and keeps the order', async () => {
    await using fake = new Fake();
    const pause = fake.ask(Type.remove, new FieldWriter().u64(Tag.columns, 200).bytes());
    const path = `${repository}/package.json`;
    const answers = Array.from({ length: 300 }, (_, i) => {
      const fd = openSync(path, 'r');
      const lent = i % 2 === 0;
      const body = Buffer.alloc(8192, i);
      const answer = fake.ask(Type.resize, body, [fd], lent ? [] : [fd]);
      // What is only lent may be closed at once, sent or not.
      if (lent) closeSync(fd);
      return answer;
    });
    expect((await pause).type).toBe(Type.done);
    for (const [i, answer] of (await Promise.all(answers)).entries()) {
      expect(answer.body[0]).toBe(i % 256);
      expect(answer.fds).toHaveLength(1);
    }
  });

  test('a flood of answers does not hold the event loop', async () => {
    await using fake = new Fake();
    const body = new FieldWriter().u64(Tag.columns, 20_000).u64(Tag.rows, 100).bytes();
    const longest = await longestHold(async () => {
      const all = fake.stray.length + 19_999;
      await fake.ask(Type.warm, body);
      while (fake.stray.length < all) await sleep(5);
    });
    // A turn takes about one millisecond, all of them a hundred.
    expect(longest).toBeLessThan(SANITIZED ? 90 : 30);
  });

  test('Close ends it with status 0, close() by the end of the channel; both tell once', async () => {
    const asked = new Fake();
    expect((await asked.ask(Type.close)).type).toBe(Type.done);
    expect(await asked.closed).toEqual({ exitCode: 0, signal: null });
    asked.channel.close();

    const closed = new Fake();
    closed.channel.close();
    closed.channel.close();
    expect(await closed.closed).toEqual({ exitCode: 3, signal: null });
    closed.channel.send(Type.resize, 9, NOTHING, [], []);
  });

  test('a supervisor that is killed is reported and reaped', async () => {
    const fake = new Fake();
    const running = fake.sh('echo early; sleep 30 >/dev/null 2>&1');
    while (!readFileSync(`/proc/${fake.channel.pid}/stat`, 'utf8').includes('(caisson'))
      await sleep(1);
    await sleep(50);
    process.kill(fake.channel.pid, 'SIGKILL');
    const { type, stdout } = await running;
    expect(type).toBe(0);
    expect(String(stdout)).toBe('early\n');
    expect(await fake.closed).toEqual({ exitCode: null, signal: 9 });
    expect(existsSync(`/proc/${fake.channel.pid}`)).toBe(false);
    // What begins after the end is told so as well.
    expect((await fake.sh('true')).type).toBe(0);
    for (const pid of childrenOf(1))
      if (pid.command === 'sleep 30') process.kill(pid.pid, 'SIGKILL');
  });

  test('a malformed message ends the channel', async () => {
    const fake = new Fake();
    fake.channel.send(Type.register, fake.nextId(), NOTHING, [], []);
    expect(await fake.closed).toEqual({ exitCode: 3, signal: null });
  });

  test('a supervisor that cannot be started is an error as Node makes them', () => {
    const { Channel } = loadBinding();
    const options = { args: [], onMessage: () => undefined, onClose: () => undefined };
    const attempt = (supervisor: string) => () => new Channel({ ...options, supervisor });
    expect(attempt('/nowhere/at all')).toThrow(
      expect.objectContaining({
        code: 'ENOENT',
        errno: -2,
        syscall: 'execve',
        path: '/nowhere/at all',
        message: "ENOENT: no such file or directory, execve '/nowhere/at all'",
      }),
    );
    expect(attempt(`${repository}/package.json`)).toThrow(/EACCES/);
  });

  test('keeps the event loop alive only while referenced', () => {
    const script = `
      const { createRequire } = await import('node:module');
      const { Channel } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      const channel = new Channel({ supervisor: ${JSON.stringify(nativeFile('caisson-fake-supervisor'))},
        args: [], onMessage() { console.log('answered'); channel.unref(); }, onClose() {} });
      channel.ref(); channel.ref(); channel.unref();
      channel.send(1, 1, new Uint8Array(0), [], []);`;
    const args = ['--input-type=module', '-e', script];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 10_000 })).toBe(
      'answered\n',
    );
  });

  test('what a callback throws is an uncaught exception of the program', () => {
    const script = `
      const { createRequire } = await import('node:module');
      const { Channel } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      process.on('uncaughtException', (thrown) => { console.log('caught', thrown); });
      let answers = 0;
      const channel = new Channel({ supervisor: ${JSON.stringify(nativeFile('caisson-fake-supervisor'))},
        args: [], onMessage() { answers += 1; throw answers === 1 ? null : 'twice'; },
        onClose() { console.log('closed'); } });
      channel.ref();
      for (let i = 0; i < 2; i += 1) channel.send(12, 1, new Uint8Array(0), [], []);
      channel.send(9, 1, new Uint8Array(0), [], []);`;
    const args = ['--input-type=module', '-e', script];
    expect(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 10_000 })).toBe(
      'caught null\ncaught twice\ncaught twice\nclosed\n',
    );
  });

  test('process.exit() with things in flight takes the supervisor along', async () => {
    const script = `
      const { createRequire } = await import('node:module');
      const { Channel, lock } = createRequire('/')(${JSON.stringify(nativeFile('caisson.node'))});
      const channel = new Channel({ supervisor: ${JSON.stringify(nativeFile('caisson-fake-supervisor'))},
        args: [], onMessage() {}, onClose() {} });
      console.log(channel.pid);
      channel.collect(2, 1, new Uint8Array(0), new Uint8Array(1e6), 1e6, () => {});
      process.exit(5);`;
    const args = ['--input-type=module', '-e', script];
    let output = '';
    try {
      execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 10_000 });
    } catch (error) {
      expect((error as { status: number }).status).toBe(5);
      output = (error as { stdout: string }).stdout;
    }
    const pid = Number(output);
    expect(pid).toBeGreaterThan(0);
    for (let i = 0; i < 100 && isAlive(pid); i += 1) await sleep(10);
    expect(isAlive(pid)).toBe(false);
  });

  test('several at once do not see each other', async () => {
    const fakes = Array.from({ length: 8 }, () => new Fake());
    const outputs = await Promise.all(fakes.map((fake, i) => fake.sh(`echo ${i}`)));
    expect(outputs.map(({ stdout }) => String(stdout))).toEqual(fakes.map((_, i) => `${i}\n`));
    await Promise.all(fakes.map((fake) => fake[Symbol.asyncDispose]()));
  });
});

describe('pipe and pidOf', () => {
  checkLeaks();

  test('pipes are close-on-exec, ours non-blocking, theirs blocking', () => {
    const binding = loadBinding();
    for (const direction of ['toChild', 'fromChild'] as const) {
      const { local, remote } = binding.pipe(direction, 1 << 20);
      const flags = (fd: number) =>
        parseInt(/^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8);
      expect(flags(local) & 0o4000).toBe(0o4000);
      expect(flags(remote) & 0o4000).toBe(0);
      expect(flags(local) & flags(remote) & 0o2000000).toBe(0o2000000);
      expect(flags(local) & 1).toBe(direction === 'toChild' ? 1 : 0);
      binding.closeFd(local);
      binding.closeFd(remote);
    }
  });

  test('a pidfd tells the pid until the process has been reaped', async () => {
    await using fake = new Fake();
    const id = fake.nextId();
    const body = new FieldWriter().strings(Tag.arg, ['cat']).u64(Tag.wantStarted, 1).bytes();
    const { local, remote } = fake.binding.pipe('toChild');
    const out = fake.binding.pipe('fromChild');
    const looked = fake.lookAt(id, ({ fds }) => {
      const pid = fake.binding.pidOf(fds[0]!);
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      expect(Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2])).toBe(fake.channel.pid);
      closeSync(local);
      const pause = new Int32Array(new SharedArrayBuffer(4));
      let tries = 0;
      while (fake.binding.pidOf(fds[0]!) >= 0 && ++tries < 1000) Atomics.wait(pause, 0, 0, 10);
      return fake.binding.pidOf(fds[0]!);
    });
    fake.channel.send(
      Type.launch,
      id,
      body,
      [remote, out.remote, out.remote],
      [remote, out.remote],
    );
    expect(await looked).toBe(-1);
    expect((await fake.answerTo(id)).fields.number(Tag.exitCode)).toBe(0);
    expect(readSync(out.local, Buffer.alloc(8))).toBe(0);
    fake.binding.closeFd(out.local);
    expect(fake.binding.pidOf(0)).toBe(-1);
  });
});

interface Found {
  readonly pid: number;
  readonly command: string;
}

function childrenOf(parent: number): Found[] {
  const list = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').split(' ');
  return list.filter(Boolean).map((pid) => ({
    pid: Number(pid),
    command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
  }));
}

/** A zombie that nobody reaps is over as well: it was left to init. */
function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
