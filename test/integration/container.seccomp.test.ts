// needs: the native part; root or user namespaces
import { expect } from 'vitest';

import { type SeccompProfile } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

const STATUS = 'grep Seccomp: /proc/self/status | tr -d "\\t"';
const DENIED = 'unshare -U true 2>&1 | grep -c "not permitted"';
/** `mkdir` fails as nothing else does. */
const NO_FOLDERS: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64'],
  syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 7 }],
};

describe('seccomp', () => {
  test.each([false, true])('is Docker’s default policy (noNewPrivileges: %j)', async (nnp) => {
    const security = { noNewPrivileges: nnp };
    await using box = await t.sleeper({ security });
    for (const line of [STATUS, DENIED]) {
      const { stdout } = await box.exec(['sh', '-c', line]);
      expect(stdout).toBe(line === STATUS ? 'Seccomp:2\n' : '1\n');
    }
    const first = await box.exec(['sh', '-c', 'grep Seccomp: /proc/1/status']);
    expect(first.stdout).toBe('Seccomp:\t2\n');
  });

  test.each([false, true])('a profile of one’s own (noNewPrivileges: %j)', async (nnp) => {
    const security = { noNewPrivileges: nnp, seccomp: NO_FOLDERS };
    await using box = await t.sleeper({ security });
    const made = await box.exec(['mkdir', '/tmp/a']);
    expect(made).toMatchObject({ exitCode: 1 });
    expect(made.stderr).toMatch(/Arg(ument)? list too long/i);
    expect((await box.exec(['touch', '/tmp/a'])).exitCode).toBe(0);
  });

  test('unconfined: none', async () => {
    await using box = await t.sleeper({ security: { seccomp: 'unconfined' } });
    expect((await box.exec(['sh', '-c', STATUS])).stdout).toBe('Seccomp:0\n');
  });

  test('more capabilities, more calls', async () => {
    const security = { capAdd: ['SYS_ADMIN'] };
    await using box = await t.sleeper({ security });
    const line = 'unshare -m true && echo done';
    expect((await box.exec(['sh', '-c', line])).stdout).toBe('done\n');
  });

  const forbids = (name: string, action = 'SCMP_ACT_ERRNO'): SeccompProfile => ({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: [name], action, ...(action === 'SCMP_ACT_ERRNO' ? { errnoRet: 13 } : {}) }],
  });

  // Without noNewPrivileges a filter must be loaded while there are capabilities: what drops them comes after.
  const AFTER: [string, string][] = [
    ['setgroups', 'groups'],
    ['setresgid', 'credentials'],
    ['setresuid', 'credentials'],
    ['capset', 'capabilities'],
    ['prctl', 'capabilities'],
    ['getcwd', 'workdir'],
    ['close_range', 'closeDescriptors'],
  ];

  test.each(AFTER)('a profile that forbids %s says at which step it failed', async (name, step) => {
    const call = t.sleeper({ security: { seccomp: forbids(name) } });
    expect(await rejection(call)).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step, errno: 'EACCES' },
    });
  });

  test.each(AFTER.filter(([name]) => name !== 'close_range'))(
    'with noNewPrivileges a profile may forbid %s: nothing of ours comes after it',
    async (name) => {
      await using box = await t.sleeper({
        security: { seccomp: forbids(name), noNewPrivileges: true },
      });
      const { stdout } = await box.exec(['echo', 'runs']);
      expect(stdout).toBe('runs\n');
    },
  );

  test('a profile that kills the start', async () => {
    const security = { seccomp: forbids('capset', 'SCMP_ACT_KILL_PROCESS') };
    expect(await rejection(t.sleeper({ security }))).toMatchObject({ code: 'ERR_LAUNCH_FAILED' });
  });

  test('to forbid a call that nobody knows is refused: it would be allowed', async () => {
    const seccomp: SeccompProfile = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdri'], action: 'SCMP_ACT_ERRNO' }],
    };
    expect(await rejection(t.sleeper({ security: { seccomp } }))).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'seccomp', errno: 'EINVAL' },
    });
  });
});
