import { once } from 'node:events';
import { watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';

import { Container, type ContainerOptions, type RunOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { second, times } from '../helpers/patience.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';
import { Viewer } from '../helpers/viewer.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});

const run = (line: string, options: RunOptions = {}) => t.sh(line, { init: true, ...options });
const start = (line: string, options: Partial<ContainerOptions> = {}) =>
  t.sleeper({ argv: ['sh', '-c', line], init: true, ...options });

describe('a container with an init', () => {
  test('has it as process 1, and the command as leader of a session', async () => {
    const { stdout } = await run(
      'ps -o pid=,ppid=,sid=,pgid= 2; cat /proc/1/comm; ls /proc/1/fd | wc -l',
    );
    expect(stdout.trim().split(/\s+/)).toEqual(['2', '1', '2', '2', 'caisson-init', '0']);
    const { stdout: args } = await run('ps -o args= 1');
    expect(args).toBe('caisson-init /usr/bin/sh sh -c ps -o args= 1\n');
  });

  test('ends as the command does', async () => {
    for (const code of [0, 1, 7, 126, 127, 128, 137, 255]) {
      expect(await run(`exit ${code}`)).toMatchObject({ exitCode: code, signal: null });
    }
    for (const signal of ['SIGHUP', 'SIGSEGV', 'SIGKILL', 'SIGTERM', 'SIGSYS'] as const) {
      const ended = await run(`kill -${signal.slice(3)} $$; sleep 10`);
      expect(ended).toMatchObject({ exitCode: null, signal, reason: 'signaled' });
    }
  });

  test('takes what is left with it', async () => {
    const box = await start('sleep 1001 & setsid sleep 1002 & exit 3');
    expect(await box.wait()).toMatchObject({ exitCode: 3, reason: 'exited' });
  });

  test('hands signals on, and the command need not listen for them', async () => {
    const box = await start('trap "exit 4" USR1; echo > /tmp/up; while :; do sleep 0.02; done');
    await box.exec(['sh', '-c', 'until [ -e /tmp/up ]; do sleep 0.01; done']);
    await box.kill('SIGUSR1');
    expect(await box.wait()).toMatchObject({ exitCode: 4 });

    // Without an init it would not hear it, and the whole grace would pass.
    const deaf = await t.sleeper({ init: true });
    const begun = performance.now();
    expect(await deaf.stop()).toMatchObject({ signal: 'SIGTERM', reason: 'signaled' });
    expect(performance.now() - begun).toBeLessThan(5 * second());

    const disposed = await t.sleeper({ init: true });
    const exited = disposed.wait();
    await disposed[Symbol.asyncDispose]();
    expect(await exited).toMatchObject({ signal: 'SIGTERM' });
  });

  test('waits for orphans, whose parents did not', async () => {
    const zombies = async (init: boolean): Promise<number> => {
      const line = `for i in $(seq ${times(100)}); do (sleep 0.1 &); done; exec sleep 1007`;
      const box = await start(line, { init });
      const haveEnded = async (): Promise<boolean> => {
        const lines = (await box.exec(['ps', '-eo', 'args='])).stdout.split('\n');
        return lines.includes('sleep 1007') && !lines.includes('sleep 0.1');
      };
      await expect.poll(haveEnded, { timeout: 20 * second() }).toBe(true);
      return Number((await box.exec(['sh', '-c', 'ps -eo stat= | grep -c ^Z'])).stdout);
    };
    expect(await zombies(true)).toBe(0);
    expect(await zombies(false)).toBeGreaterThan(0); // which is why there are inits
  });

  test('is nobody who could be changed, and tells nothing of this machine', async () => {
    const { stdout, stderr } = await run(
      'readlink /proc/1/exe; stat -L -c "%a %s" /proc/1/exe; readlink /proc/1/root /proc/1/cwd;' +
        'head -c 4 /proc/1/exe | tail -c 3; echo; strings -n 4 /proc/1/exe 2> /dev/null | grep /;' +
        'for how in ">" ">>" "<>"; do eval "echo x $how /proc/1/exe" && echo written; done;' +
        'chmod 777 /proc/1/exe && echo changed; tr "\\0" " " < /proc/1/environ | wc -w',
      { env: { A: 'b' }, security: { capAdd: ['SYS_PTRACE', 'DAC_OVERRIDE'] } },
    );
    const [exe, stat, root, cwd, elf, words] = stdout.trim().split('\n');
    expect([exe, root, cwd, elf]).toEqual(['/caisson-init', '/', '/', 'ELF']);
    expect(stat).toMatch(/^555 \d{3,4}$/);
    expect(stdout).not.toMatch(/written|changed/);
    expect(stderr).toMatch(/Text file busy|Read-only file system/);
    expect(Number(words)).toBe(4); // PATH, HOSTNAME, A, HOME: the command's own
  });

  test('leaves failures of the command as they are', async () => {
    const failing = (argv: string[]) =>
      rejection(Container.run(t.image, argv, { runtime: t.runtime, init: true }));
    expect(await failing(['/none'])).toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect(await failing(['/etc/passwd'])).toMatchObject({ code: 'ERR_COMMAND_NOT_EXECUTABLE' });
    // What only execve finds out comes from the init's child.
    const folder = await tempFolder();
    writeFileSync(join(folder.path, 'script'), '#!/none\n', { mode: 0o755 });
    const mounts = [{ type: 'bind' as const, source: folder.path, target: '/mnt' }];
    const options = { runtime: t.runtime, mounts };
    const [bare, under] = await Promise.all(
      [false, true].map((init) =>
        rejection(Container.run(t.image, ['/mnt/script'], { ...options, init })),
      ),
    );
    expect(bare).toMatchObject({ name: 'CaissonError' });
    expect({ ...(under as object) }).toEqual({ ...(bare as object) });
    await folder.remove();
  });

  test('does in every kind of container', async () => {
    const whoAmI = 'id -u; cat /proc/1/comm';
    const kinds: RunOptions[] = [
      { security: { readOnlyRootfs: true, noNewPrivileges: true } },
      { security: { capDrop: ['ALL'] } },
      { security: 'strict' },
      { security: { seccomp: 'unconfined' } },
      {
        // A filter whose author has thought of execve only.
        security: {
          seccomp: {
            defaultAction: 'SCMP_ACT_ALLOW',
            syscalls: [
              { names: ['execveat', 'rt_sigtimedwait'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
            ],
          },
        },
      },
    ];
    for (const options of kinds) {
      expect((await run(whoAmI, options)).stdout).toBe('0\ncaisson-init\n');
    }
    if (rootless) return;
    expect((await run(whoAmI, { user: '1000:1000' })).stdout).toBe('1000\ncaisson-init\n');
    const peer = await t.sleeper();
    const shared = await run('cat /proc/1/comm; ps -o comm= $PPID; (sleep 0.1 &); kill -9 $$', {
      security: { pid: `container:${peer.id}` },
    });
    expect(shared).toMatchObject({ signal: 'SIGKILL', stdout: 'sleep\ncaisson-init\n' });
  });

  test('is killed with the rest by a kill, a timeout and an abort', async () => {
    const box = await start('trap "" TERM; sleep 1003');
    await box.kill();
    expect(await box.wait()).toMatchObject({ signal: 'SIGKILL', reason: 'killed' });
    expect(await run('sleep 1004', { timeoutMs: 100 })).toMatchObject({ reason: 'timeout' });
    const signal = AbortSignal.timeout(100);
    expect(await rejection(run('sleep 1005', { signal }))).toMatchObject({ name: 'AbortError' });
  });

  test('outlives a flood of signals', async () => {
    const box = await start('trap "" USR1 USR2; echo > /tmp/up; while :; do sleep 0.01; done');
    await box.exec(['sh', '-c', 'until [ -e /tmp/up ]; do sleep 0.01; done']);
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => box.kill(i % 2 === 0 ? 'SIGUSR1' : 'SIGUSR2')),
    );
    expect((await box.exec(['cat', '/proc/1/comm'])).stdout).toBe('caisson-init\n');
    expect(await box.stop()).toMatchObject({ signal: 'SIGTERM' });
  });

  test('gives the terminal to the command', async () => {
    const box = await t.sleeper({
      argv: ['bash', '--norc'],
      env: { PS1: 'ready> ' },
      tty: { columns: 70, rows: 20 },
      init: true,
    });
    const process = await box.attach();
    const viewer = new Viewer(process);
    viewer.type('\n');
    await viewer.see('ready> ');
    viewer.type('stty size; ps -o pid=,tty= $$\n');
    await viewer.see('20 70');
    await viewer.see('2 pts/0');
    // Before a prompt readline reads the size and sets it to what it has read.
    await viewer.see('ready> ');
    process.resize({ columns: 60, rows: 10 });
    viewer.type('stty size; sleep 1006\n');
    await viewer.see('10 60');
    await sleep(200);
    viewer.type('\x1a');
    await viewer.see(/Stopped.*sleep 1006/);
    viewer.type('fg\n');
    await viewer.see('sleep 1006\r\n');
    await sleep(200);
    viewer.type('\x03');
    await viewer.see('ready> ');
    const closed = once(process.stdout, 'close');
    viewer.type('exit 9\n');
    expect(await process.exited).toMatchObject({ exitCode: 9 });
    await closed;

    // One that is no shell is not stopped for ever: nobody could wake it.
    const plain = await start('echo up; sleep 0.5; echo done', { tty: true });
    const plainProcess = await plain.attach();
    plainProcess.stdin!.write('\x1a');
    expect(await plainProcess.exited).toMatchObject({ exitCode: 0 });
  });
});
