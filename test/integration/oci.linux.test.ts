// The runtime-spec's "linux" section, in a bundle that the one-shot form of launch starts, and runc too.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect } from 'vitest';

import { launchBundle } from '../../lib/oci/launch-bundle.js';
import { bundle, configOf, type Config } from '../helpers/bundle.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('root', 'native', 'busybox', 'runc');
checkLeaks();

const KINDS = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'] as const;
const LINKS = KINDS.map((kind) => `readlink /proc/self/ns/${kind}`).join('; ');

/** The groups of a process, by controller; the empty name is v2's. */
async function groupsOf(pid: number): Promise<Map<string, string>> {
  const text = await readFile(`/proc/${pid}/cgroup`, 'utf8');
  const groups = new Map<string, string>();
  for (const line of text.trim().split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const pure = existsSync('/sys/fs/cgroup/cgroup.controllers');
    const mount = controllers === '' ? (pure ? '' : '/unified') : `/${controllers}`;
    if (path !== '/') groups.set(controllers, `/sys/fs/cgroup${mount}${path}`);
  }
  return groups;
}

async function readLimit(
  groups: Map<string, string>,
  controller: string,
  v1: string,
  v2: string,
): Promise<string> {
  const own = [...groups].find(([names]) => names.split(',').includes(controller));
  const path = own === undefined ? join(groups.get('') ?? '', v2) : join(own[1], v1);
  return (await readFile(path, 'utf8')).trim();
}

async function namespaces(): Promise<string[]> {
  return await Promise.all(KINDS.map((kind) => readlink(`/proc/self/ns/${kind}`)));
}

const CASES: readonly [string, string, (config: Config) => void, RegExp][] = [
  [
    'sysctl',
    'cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start',
    (config) => {
      config.linux['sysctl'] = {
        'kernel.msgmax': '9000',
        'net.ipv4.ip_unprivileged_port_start': '80',
      };
    },
    /^9000\n80\n$/,
  ],
  [
    'maskedPaths',
    'cat /etc/passwd | wc -c; ls /masked | wc -l; touch /masked/x 2>/dev/null || echo refused',
    (config) => {
      config.linux['maskedPaths'] = ['/etc/passwd', '/masked', '/not/there'];
      config.mounts.push({ destination: '/masked', type: 'tmpfs', source: 'tmpfs' });
    },
    /^0\n0\nrefused\n$/,
  ],
  [
    'readonlyPaths',
    'for p in /etc /tmp /proc/sys/kernel/hostname; do (echo x > $p/x || echo x > $p) 2>/dev/null || echo $p; done',
    (config) => {
      config.linux['readonlyPaths'] = ['/etc', '/proc/sys', '/not/there'];
    },
    /^\/etc\n\/proc\/sys\/kernel\/hostname\n$/,
  ],
  [
    'devices',
    'stat -c "%n %F %t %T %a %u %g" /dev/fuse /dev/deep/loop; dd if=/dev/mynull count=1 2>/dev/null | wc -c',
    (config) => {
      config.linux['devices'] = [
        { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o600, uid: 5, gid: 6 },
        { path: '/dev/deep/loop', type: 'b', major: 7, minor: 9, fileMode: 0o660 },
        { path: '/dev/mynull', type: 'u', major: 1, minor: 3 },
      ];
    },
    /fuse character special file a e5 600 5 6\n.*loop block special file 7 9 660 0 0\n0\n$/,
  ],
  [
    'seccomp',
    'mkdir /tmp/a; echo $?; chmod 700 /bin; echo $?; hostname | wc -l',
    (config) => {
      config.linux['seccomp'] = {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
        syscalls: [
          { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 },
          {
            names: ['chmod', 'fchmodat'],
            action: 'SCMP_ACT_ERRNO',
            args: [{ index: 1, value: 0o700, op: 'SCMP_CMP_EQ' }],
          },
        ],
      };
    },
    /^1\n1\n1\n$/,
  ],
  [
    'hostname',
    'hostname',
    (config) => {
      config['hostname'] = 'a.name';
    },
    /^a\.name\n$/,
  ],
];

describe('linux of a bundle', () => {
  test.for(CASES)('%s', async ([, script, change, expected]) => {
    await using folder = await bundle();
    const config = configOf(`(${script}) 2>/dev/null`);
    change(config);
    const { ours, runc } = await folder.both(config);
    expect(ours).toMatch(expected);
    expect(ours).toBe(runc);
  });

  test('each namespace that is listed is a new one', async () => {
    await using folder = await bundle();
    await folder.write(configOf(LINKS));
    const inside = (await folder.run()).stdout.trim().split('\n');
    const outside = await namespaces();
    expect(inside).toHaveLength(KINDS.length);
    inside.forEach((link, index) => expect(link).not.toBe(outside[index]));
  });

  test('what is not listed is shared', async () => {
    await using folder = await bundle();
    const config = configOf(LINKS);
    delete config['hostname'];
    config.linux.namespaces = [{ type: 'pid' }, { type: 'mount' }];
    // A sysfs shows the network namespace of who makes it.
    await folder.write(config);
    const inside = (await folder.run()).stdout.trim().split('\n');
    const outside = await namespaces();
    const shared = KINDS.filter((_, index) => inside[index] === outside[index]);
    expect(shared).toEqual(['cgroup', 'ipc', 'net', 'uts']);
  });

  test.for([
    ['network', '--net'],
    ['ipc', '--ipc'],
    ['uts', '--uts'],
  ] as const)('the %s namespace of a path is joined', async ([type, flag]) => {
    const holder = spawn('unshare', [flag, 'sh', '-c', 'echo up; exec sleep 60']);
    try {
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      const kind = type === 'network' ? 'net' : type;
      const path = `/proc/${holder.pid}/ns/${kind}`;
      await using folder = await bundle();
      const config = configOf(`readlink /proc/self/ns/${kind}`);
      if (type === 'uts') delete config['hostname'];
      config.linux.namespaces = config.linux.namespaces.map((namespace) =>
        namespace.type === type ? { type, path } : namespace,
      );
      const { ours, runc } = await folder.both(config);
      expect(ours).toBe(`${await readlink(path)}\n`);
      expect(ours).toBe(runc);
    } finally {
      holder.kill('SIGKILL');
    }
  });

  test('a path that is no namespace of that kind is refused', async () => {
    await using folder = await bundle();
    const config = configOf('true');
    config.linux.namespaces = config.linux.namespaces.map((namespace) =>
      namespace.type === 'network' ? { type: 'network', path: '/proc/self/ns/ipc' } : namespace,
    );
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code: 'ERR_LAUNCH_FAILED' });
  });

  test.for<[string, unknown, string]>([
    ['namespaces', [{ type: 'pid' }, { type: 'mount' }, { type: 'pid' }], 'ERR_INVALID_ARGUMENT'],
    ['namespaces', [{ type: 'nothing' }], 'ERR_INVALID_ARGUMENT'],
    ['namespaces', [{ type: 'network' }], 'ERR_UNSUPPORTED'],
    ['cgroupsPath', '/a/../../b', 'ERR_INVALID_ARGUMENT'],
    ['cgroupsPath', 'a\nb', 'ERR_INVALID_ARGUMENT'],
    ['devices', [{ path: '/dev/x', type: 'q', major: 1, minor: 1 }], 'ERR_INVALID_ARGUMENT'],
    ['devices', [{ path: '/dev/x', type: 'c', major: 4096, minor: 1 }], 'ERR_INVALID_ARGUMENT'],
    ['timeOffsets', { monotonic: { secs: 1 } }, 'ERR_INVALID_ARGUMENT'],
    ['intelRdt', { closID: 'x' }, 'ERR_UNSUPPORTED'],
    ['mountLabel', 'system_u:object_r:container_file_t:s0"', 'ERR_INVALID_ARGUMENT'],
    ['mountLabel', 'system_u:object_r:nonesuch_t:s0', 'ERR_UNSUPPORTED'],
    ['personality', { domain: 'LINUX32' }, 'ERR_UNSUPPORTED'],
    ['rootfsPropagation', 'shared', 'ERR_UNSUPPORTED'],
    ['seccomp', { defaultAction: 'SCMP_ACT_NOTHING' }, 'ERR_INVALID_ARGUMENT'],
    ['sysctl', { 'kernel.msgmax': 1 }, 'ERR_INVALID_ARGUMENT'],
  ])('%s: %j is refused: %s', async ([name, value, code]) => {
    await using folder = await bundle();
    const config = configOf('true');
    config.linux[name] = value;
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code });
  });

  test('timeOffsets of a time namespace', async () => {
    await using folder = await bundle();
    const config = configOf('cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets');
    config.linux.namespaces.push({ type: 'time' });
    config.linux['timeOffsets'] = { boottime: { secs: 1_000_000, nanosecs: 5 } };
    await folder.write(config);
    const { stdout, stderr } = await folder.run();
    expect(stderr).toBe('');
    expect(Number(stdout.split('\n')[0])).toBeGreaterThan(1_000_000);
    expect(stdout).toMatch(/^boottime +1000000 +5$/m);
  });

  test('resources and cgroupsPath: limits are those of its group, which is gone afterwards', async () => {
    await using folder = await bundle();
    const name = basename(folder.path);
    const config = configOf('cat /proc/self/cgroup; read line');
    config.linux['cgroupsPath'] = `/${name}/own`;
    config.linux['resources'] = {
      devices: [{ allow: false, access: 'rwm' }],
      memory: { limit: 64 * 2 ** 20, reservation: 32 * 2 ** 20 },
      cpu: { shares: 512, quota: 50_000, period: 100_000 },
      pids: { limit: 20 },
    };
    await folder.write(config);
    const stdio = ['pipe', 'pipe', 'pipe'] as ['pipe', 'pipe', 'pipe'];
    const shot = await launchBundle({ id: name, bundle: folder.path, stdio });
    const pid = await shot.created;
    const seen = await new Promise<Buffer>((resolve) => shot.process.stdout!.once('data', resolve));
    // Its own group is the root of what it sees.
    for (const line of String(seen).trim().split('\n')) expect(line).toMatch(/^\d+:[^:]*:\/$/);

    const groups = await groupsOf(pid);
    const read = (controller: string, v1: string, v2: string) =>
      readLimit(groups, controller, v1, v2);
    expect(await read('memory', 'memory.limit_in_bytes', 'memory.max')).toBe(`${64 * 2 ** 20}`);
    expect(await read('pids', 'pids.max', 'pids.max')).toBe('20');
    expect(await read('cpu', 'cpu.cfs_quota_us', 'cpu.max')).toMatch(/^50000( 100000)?$/);
    shot.process.stdin!.end('\n');
    expect(await shot.ended).toEqual({ exitCode: 0, signal: null });
    for (const path of groups.values()) expect(path).toContain(`${name}/own`);
    for (const path of groups.values()) expect(existsSync(path)).toBe(false);
  });

  test('devices that no rule allows cannot be opened', async () => {
    await using folder = await bundle();
    const config = configOf(
      'mknod /dev/full2 c 1 7; mknod /dev/kmsg2 c 1 11; for d in full2 kmsg2; do ' +
        'dd if=/dev/$d of=/dev/null count=0 2>/dev/null && echo $d opened || echo $d refused; done',
    );
    const caps = config.process['capabilities'] as Record<string, string[]>;
    for (const set of Object.values(caps)) set.push('CAP_MKNOD');
    config.linux['resources'] = { devices: [{ allow: false, access: 'rwm' }] };
    const { ours, runc } = await folder.both(config);
    expect(ours).toBe('full2 opened\nkmsg2 refused\n');
    expect(ours).toBe(runc);
  });

  test('a memory limit that is too small for the start says so', async () => {
    await using folder = await bundle();
    const config = configOf('true');
    config.linux['resources'] = { memory: { limit: 4096 } };
    await folder.write(config);
    await expect(folder.run()).rejects.toThrow(/memory/);
  });

  test.for<[unknown]>([
    [{ memory: { limit: -2 } }],
    [{ memory: { limit: 100, swap: 50 } }],
    [{ cpu: { shares: 1 } }],
    [{ devices: [{ allow: true, access: 'x' }] }],
    [{ devices: [{ access: 'r' }] }],
    [{ hugepageLimits: [{ pageSize: '../2MB', limit: 0 }] }],
    [{ blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 0 }] } }],
  ])('resources %j are refused', async ([resources]) => {
    await using folder = await bundle();
    const config = configOf('true');
    config.linux['resources'] = resources;
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  test('what the spec does not know is passed over', async () => {
    await using folder = await bundle();
    const config = configOf('echo fine');
    config['org.example.extension'] = { any: 'thing' };
    config.linux['later'] = 7;
    await folder.write(config);
    expect((await folder.run()).stdout).toBe('fine\n');
  });
});
