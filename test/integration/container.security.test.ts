// needs: the native part; root or user namespaces
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';

import { Container, type SecurityOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

async function inside(
  script: string,
  security: SecurityOptions | 'strict' | 'privileged',
): Promise<string> {
  const options = { runtime: t.runtime, security };
  const { stdout, stderr } = await Container.run(t.image, ['sh', '-c', script], options);
  return stdout + stderr;
}

const STATUS = "sed -n 's/^\\(Cap...\\|NoNewPrivs\\|Seccomp\\):\\t/\\1 /p' /proc/self/status";

/** What a program of root's gets: that of a user namespace all that the kernel knows. */
const every = ((): string => {
  const status = readFileSync('/proc/self/status', 'utf8');
  const bounding = /^CapBnd:\t(.*)$/m.exec(status)?.[1] ?? '';
  const last = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  return rootless ? (2n ** BigInt(last + 1) - 1n).toString(16).padStart(16, '0') : bounding;
})();

/** The lines of STATUS by name. */
function fields(status: string): ReadonlyMap<string, string> {
  return new Map(
    status
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
}

describe('presets', () => {
  test('strict: no capability and no way to one', async () => {
    const own = fields(await inside(STATUS, 'strict'));
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect([set, BigInt(`0x${own.get(set) ?? 'x'}`)]).toEqual([set, 0n]);
    }
    expect(own.get('NoNewPrivs')).toBe('1');
    expect(own.get('Seccomp')).toBe('2');
    // The root is the container's alone; what needs a capability is refused.
    const said = await inside(
      'echo a > /file && cat /file; chroot / true; mount -t proc p /proc',
      'strict',
    );
    expect(said).toMatch(/^a\n/);
    expect(said.match(/permitted|denied/gi)).toHaveLength(2);
  });

  test('privileged: all that the kernel knows, and no filter', async () => {
    const own = fields(await inside(STATUS, 'privileged'));
    const filtered = fields(await inside(STATUS, { preset: 'privileged', seccomp: 'default' }));
    expect(own.get('CapEff')).toBe(every);
    expect(own.get('CapBnd')).toBe(every);
    expect(own.get('CapInh')).toMatch(/^0+$/);
    expect([own.get('Seccomp'), filtered.get('Seccomp')]).toEqual(['0', '2']);
  });

  test('privileged: nothing is masked, /sys can be written to, mounts can be made', async () => {
    const script = `
      awk '$5 == "/sys" { print $6 }' /proc/self/mountinfo | grep -c rw
      awk '$5 ~ "^/proc/|^/sys/(firmware|devices)"' /proc/self/mountinfo | wc -l
      mount -t tmpfs none /tmp && echo mounted`;
    expect(await inside(script, 'privileged')).toBe('1\n0\nmounted\n');
  });

  test('a process of a container has its preset too', async () => {
    await using box = await t.sleeper({ security: 'strict' });
    const { stdout } = await box.exec(['sh', '-c', STATUS]);
    const own = fields(stdout);
    expect([own.get('CapBnd'), own.get('NoNewPrivs'), own.get('Seccomp')]).toEqual([
      '0000000000000000',
      '1',
      '2',
    ]);
  });
});

describe('a privileged process of an ordinary container', () => {
  test('exec: every capability, no filter, none inheritable', async () => {
    await using box = await t.sleeper({ security: 'strict' });
    const { stdout } = await box.exec(['sh', '-c', STATUS], { privileged: true });
    const own = fields(stdout);
    expect(own.get('CapEff')).toBe(every);
    expect(own.get('CapInh')).toMatch(/^0+$/);
    expect([own.get('NoNewPrivs'), own.get('Seccomp')]).toEqual(['0', '0']);
    const mounted = await box.exec(['mount', '-t', 'tmpfs', 'none', '/tmp'], { privileged: true });
    expect(mounted.exitCode).toBe(0);
    // The others are as they were.
    expect(fields((await box.exec(['sh', '-c', STATUS])).stdout).get('CapEff')).toMatch(/^0+$/);
  });

  test('spawn', async () => {
    await using box = await t.sleeper();
    await using process = await box.spawn(['sh', '-c', STATUS], { privileged: true });
    let text = '';
    for await (const chunk of process.stdout) text += String(chunk);
    expect(fields(text).get('CapEff')).toBe(every);
  });
});

describe('sysctls', () => {
  test('are set, in the container alone', async () => {
    const sysctls = {
      'net.ipv4.ip_forward': '1',
      'net/ipv4/conf/lo/forwarding': '1',
      'kernel.msgmax': '9001',
      'kernel.shm_rmid_forced': '1',
      'fs.mqueue.msg_max': '11',
    };
    const script = `cd /proc/sys && cat net/ipv4/ip_forward net/ipv4/conf/lo/forwarding \
      net/ipv4/ip_unprivileged_port_start kernel/msgmax kernel/shm_rmid_forced fs/mqueue/msg_max`;
    expect(await inside(script, { sysctls })).toBe('1\n1\n0\n9001\n1\n11\n');
    expect(await inside('cat /proc/sys/kernel/msgmax', {})).not.toBe('9001\n');
  });

  test('kernel.domainname, and what only root of the machine may set', async () => {
    const sysctls = { 'kernel.domainname': 'example.org' };
    const call = inside('cat /proc/sys/kernel/domainname', { sysctls });
    if (!rootless) expect(await call).toBe('example.org\n');
    else {
      expect(await rejection(call)).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        details: { what: 'sysctl "kernel.domainname"', reason: expect.any(String) as string },
      });
    }
  });

  test('one that the kernel does not know, and one that it refuses', async () => {
    for (const [name, value, errno] of [
      ['net.ipv4.nonesuch', '1', 'ENOENT'],
      ['kernel.msgmax', 'many', 'EINVAL'],
    ] as const) {
      expect(await rejection(inside('true', { sysctls: { [name]: value } }))).toMatchObject({
        code: 'ERR_LAUNCH_FAILED',
        details: { step: 'sysctl', path: name, errno },
      });
    }
  });

  test.skipIf(rootless)('Docker’s two, where the network is its own', async () => {
    const files = ['ip_unprivileged_port_start', 'ping_group_range'];
    expect(await inside(`cd /proc/sys/net/ipv4; cat ${files.join(' ')}`, {})).toBe(
      '0\n0\t2147483647\n',
    );
  });
});

test.runIf(rootless)('ALL in a user namespace, where a node cannot be opened anyway', async () => {
  expect(fields(await inside(STATUS, { capAdd: ['ALL'] })).get('CapEff')).toBe(every);
});

test('a security module that the machine lacks', async () => {
  expect(await inside('echo runs', { apparmor: 'unconfined', selinux: 'unconfined' })).toBe(
    'runs\n',
  );
  if (!existsSync('/sys/module/apparmor')) {
    expect(await rejection(inside('true', { apparmor: 'docker-default' }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: 'security.apparmor' },
    });
  }
  if (existsSync('/sys/fs/selinux/enforce')) return;
  const label = 'system_u:system_r:container_t:s0:c1,c2';
  for (const key of ['selinux', 'mountLabel'] as const) {
    expect(await rejection(inside('true', { [key]: label }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: `security.${key}` },
    });
  }
});
