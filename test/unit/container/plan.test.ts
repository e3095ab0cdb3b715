import { describe, expect, test } from 'vitest';
import { capabilitiesOf } from '../../../lib/container/capabilities.js';
import { planContainer, planEnv, type Plan, type PlanHost } from '../../../lib/container/plan.js';
import { parseContainer } from '../../../lib/container/request.js';
import type { Peers } from '../../../lib/container/shared-namespaces.js';
import type { ImageConfig } from '../../../lib/image/config.js';
import type { ImageMount } from '../../../lib/image/resolved-image.js';
import { PLAN_HOST } from '../../helpers/plan-host.js';

const ID = 'abcdef0123456789'.repeat(4);

interface Given {
  readonly options?: object;
  readonly config?: ImageConfig;
  readonly mounts?: readonly ImageMount[];
  readonly host?: Partial<PlanHost>;
  readonly peers?: Peers;
}

function plan({ options = {}, config = {}, mounts = [], host = {}, peers = {} }: Given = {}): Plan {
  const request = parseContainer({ image: 'x', argv: ['true'], ...options });
  const image = {
    id: 'sha256:0',
    layers: ['layers/skeleton', 'layers/a'],
    config,
    mounts,
  } as const;
  return planContainer(request, image, { ...PLAN_HOST, ...host }, ID, peers);
}

const targets = (given: Given): string[] =>
  plan(given).oci.mounts.map(({ destination }) => destination);

test('the plan of a container of which nothing is said', () => {
  expect(plan()).toMatchSnapshot();
});

test('the same question has the same answer', () => {
  expect(plan()).toEqual(plan());
});

describe('entrypoint and argv, as Docker combines them', () => {
  const config = { Entrypoint: ['/e'], Cmd: ['c1', 'c2'] };
  test.each<[object, ImageConfig, string[]]>([
    [{ argv: undefined }, config, ['/e', 'c1', 'c2']],
    [{ argv: ['x'] }, config, ['/e', 'x']],
    [{ argv: [] }, config, ['/e']],
    [{ argv: undefined, entrypoint: ['/n'] }, config, ['/n']],
    [{ argv: ['x'], entrypoint: ['/n', '-v'] }, config, ['/n', '-v', 'x']],
    [{ argv: ['x'], entrypoint: [] }, config, ['x']],
    [{ argv: undefined }, { Cmd: ['c1'] }, ['c1']],
  ])('%j of %j', (options, image, args) => {
    expect(plan({ options, config: image }).oci.process.args).toEqual(args);
  });

  test.each<[object, ImageConfig]>([
    [{ argv: undefined }, {}],
    [{ argv: [] }, {}],
    [{ argv: undefined, entrypoint: [] }, config],
  ])('%j of %j leaves nothing to run', (options, image) => {
    expect(() => plan({ options, config: image })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: { option: 'argv', reason: expect.any(String) },
      }),
    );
  });
});

describe('environment', () => {
  test('defaults, the image, the user: each name once', () => {
    expect(
      planEnv('h', ['A=1', 'PATH=/p', 'B=x=y', 'nonsense', '=bad'], { A: '2', C: '' }),
    ).toEqual(['PATH=/p', 'HOSTNAME=h', 'A=2', 'B=x=y', 'C=']);
  });

  test('a terminal is an xterm unless it is said what else', () => {
    const tty = { columns: 90, rows: 30 };
    const { process } = plan({ options: { tty } }).oci;
    expect(process.env).toContain('TERM=xterm');
    expect(process).toMatchObject({ terminal: true, consoleSize: { width: 90, height: 30 } });
    expect(plan({ options: { tty, env: { TERM: 'vt100' } } }).oci.process.env).toContain(
      'TERM=vt100',
    );
    expect(plan({ config: { Env: ['TERM=x'] }, options: { tty } }).oci.process.env).toContain(
      'TERM=x',
    );
    expect(plan().oci.process).toMatchObject({ terminal: false });
    expect(plan().oci.process.consoleSize).toBeUndefined();
  });

  test('HOME is looked up inside unless it is given', () => {
    expect(plan().setHome).toBe(true);
    expect(plan({ options: { env: { HOME: '/x' } } }).setHome).toBe(false);
    expect(plan({ config: { Env: ['HOME=/x'] } }).setHome).toBe(false);
  });
});

test.each<[string | undefined, ImageConfig, string]>([
  [undefined, {}, '/'],
  [undefined, { WorkingDir: '' }, '/'],
  [undefined, { WorkingDir: '/app/' }, '/app'],
  [undefined, { WorkingDir: 'app' }, '/app'],
  [undefined, { WorkingDir: '../a/./b' }, '/a/b'],
  ['/asked', { WorkingDir: 'app' }, '/asked'],
])('folder %s of an image with %j', (cwd, config, expected) => {
  expect(plan({ options: { cwd }, config }).oci.process.cwd).toBe(expected);
});

describe('what execve would refuse is refused here, with its limit', () => {
  const many = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`A${i}`, 'x'.repeat(100_000)]),
  );

  test('10 MB of env', () => {
    expect(() => plan({ options: { env: many } })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: { option: 'env', reason: expect.stringMatching(/2097152 .*execve/) },
      }),
    );
  });

  test('argv, whatever the stack: at most 6 MiB', () => {
    const argv = ['true', ...Object.values(many)];
    expect(() => plan({ options: { argv }, host: { stackBytes: Infinity } })).toThrow(
      expect.objectContaining({
        details: { option: 'argv', reason: expect.stringContaining(String(6 * 2 ** 20)) },
      }),
    );
  });

  test('a stack limit of the container counts', () => {
    const env = Object.fromEntries(Object.entries(many).slice(0, 3));
    const security = { ulimits: { stack: 2 ** 20 } };
    expect(() => plan({ options: { env } })).not.toThrow();
    expect(() => plan({ options: { env, security } })).toThrow(/262144/);
  });
});

describe('mounts', () => {
  test('by depth: none covers one before it', () => {
    const mounts = [
      { type: 'tmpfs', target: '/a/b/c' },
      { type: 'tmpfs', target: '/a' },
      { type: 'bind', source: '/s', target: '/a/b' },
    ];
    expect(targets({ options: { mounts } })).toEqual([
      '/proc',
      '/dev',
      '/sys',
      '/a',
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/a/b',
      '/sys/fs/cgroup',
      '/a/b/c',
    ]);
  });

  test("a user's mount takes the place of one of ours", () => {
    const mounts = [{ type: 'tmpfs', target: '/dev/shm', sizeBytes: '1GiB' }];
    const shm = plan({ options: { mounts } }).oci.mounts.filter(
      (m) => m.destination === '/dev/shm',
    );
    expect(shm).toEqual([
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'nodev', 'mode=1777', `size=${2 ** 30}`],
      },
    ]);
  });

  test('/dev takes everything below it away', () => {
    const mounts = [{ type: 'bind', source: '/s', target: '/dev' }];
    expect(targets({ options: { mounts } })).toEqual(['/proc', '/sys', '/dev', '/sys/fs/cgroup']);
  });

  test('a bind is never a way to devices, and read-only means all of it', () => {
    const mounts = [{ type: 'bind', source: '/s', target: '/t', readOnly: true }];
    expect(plan({ options: { mounts } }).oci.mounts).toContainEqual({
      destination: '/t',
      type: 'bind',
      source: '/s',
      options: ['rbind', 'rprivate', 'nodev', 'rro'],
    });
  });

  test("an image's own mounts come before the user's of the same depth, and are planned once", () => {
    const mounts: ImageMount[] = [
      { type: 'bind', source: '/usr', target: '/usr', readOnly: true },
      { type: 'overlay', source: '/opt', target: '/opt', readOnly: false },
    ];
    const user = {
      mounts: [
        { type: 'tmpfs', target: '/usr' },
        { type: 'tmpfs', target: '/z' },
      ],
    };
    expect(targets({ mounts }).slice(0, 5)).toEqual(['/proc', '/dev', '/sys', '/usr', '/opt']);
    expect(plan({ mounts }).oci.mounts).toBe(plan({ mounts }).oci.mounts);
    expect(plan({ mounts, options: user }).oci.mounts.slice(3, 6)).toMatchObject([
      { destination: '/opt', type: 'overlay', options: ['nodev', 'scratch=scratch-opt'] },
      { destination: '/usr', type: 'tmpfs' },
      { destination: '/z', type: 'tmpfs' },
    ]);
  });

  test('without a cgroup of its own there is nothing to show', () => {
    expect(targets({ host: { cgroups: false } })).not.toContain('/sys/fs/cgroup');
  });
});

describe('rootless', () => {
  const host = { rootless: true, uids: 1, gids: 1 };

  test('devpts names no group, and ping_group_range is not set', () => {
    const { oci } = plan({ host });
    expect(oci.mounts.find((m) => m.type === 'devpts')?.options).not.toContain('gid=5');
    expect(oci.linux.sysctl).toEqual({ 'net.ipv4.ip_unprivileged_port_start': '0' });
  });

  test('with subordinate ids they are as many as are mapped', () => {
    const { oci } = plan({ host: { ...host, uids: 65537, gids: 65537 } });
    expect(oci.mounts.find((m) => m.type === 'devpts')?.options).toContain('gid=5');
    expect(oci.linux.sysctl).toMatchObject({ 'net.ipv4.ping_group_range': '0 65536' });
  });

  test.each<[object, string]>([
    [{ user: '1' }, 'user "1"'],
    [{ user: '0:1' }, 'user "0:1"'],
    [{ security: { groupAdd: ['5'] } }, 'groupAdd "5"'],
  ])('%j is refused where it is not mapped', (options, what) => {
    expect(() => plan({ host, options })).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        details: expect.objectContaining({ what }),
        hint: expect.stringContaining('uidmap'),
      }),
    );
    expect(() => plan({ host: { ...host, uids: 6, gids: 6 }, options })).not.toThrow();
  });

  test("what cannot be mounted anew in the machine's namespaces is bound", () => {
    const options = { networks: 'host', security: { ipc: 'host' } };
    const sources = (more: object): string[] =>
      plan({ options, host: { ...host, ...more } })
        .oci.mounts.filter(({ type }) => type === 'bind')
        .map(({ source }) => source);
    expect(sources({})).toEqual(['/sys', '/dev/shm', '/dev/mqueue']);
    expect(sources({ mqueue: false })).toEqual(['/sys', '/dev/shm']);
    expect(sources({ rootless: false })).toEqual(['/dev/shm']);
  });
});

describe('network', () => {
  test("'none': loopback, its own name, no resolver", () => {
    const { files, oci } = plan({ options: { hostname: 'h' } });
    expect(files.map(({ path }) => path)).toEqual([
      '/etc/hostname',
      '/etc/hosts',
      '/etc/resolv.conf',
    ]);
    expect(files[0]?.content).toBe('h\n');
    expect(files[1]?.content).toContain('127.0.1.1\th\n');
    expect(files[2]?.content).toBe('');
    expect(oci.linux.namespaces).toContainEqual({ type: 'network' });
  });

  test("'host': the machine's namespace, name, hosts and resolver", () => {
    const { files, oci } = plan({ options: { networks: 'host', extraHosts: { db: '10.1.1.1' } } });
    expect(oci.hostname).toBe('machine');
    expect(oci.linux.namespaces).not.toContainEqual({ type: 'network' });
    expect(oci.linux.sysctl).toEqual({});
    expect(files[1]?.content).toBe('10.0.0.1\tmachine\n10.1.1.1\tdb\n');
    expect(files[2]?.content).toBe('nameserver 10.0.0.2\n');
  });

  test("another container's: its names; and what was its own stays so", () => {
    const one = plan({ options: { hostname: 'one', extraHosts: { db: '10.1.1.1' } } });
    const { hostname: name, files: theirs } = one;
    const peer = { id: '1', name, hostname: name, files: theirs, ofHost: false, outside: false };
    const options = { networks: 'container:one', security: { uts: 'container:one' } };
    const { files, oci, hostname } = plan({ options, peers: { network: peer, uts: peer } });
    expect(hostname).toBe('one');
    expect(oci).not.toHaveProperty('hostname');
    expect(oci.process.env).toContain('HOSTNAME=one');
    expect(oci.linux.sysctl).toEqual({});
    expect(files).toEqual(one.files);
    expect(oci.linux.namespaces).toEqual([
      { type: 'mount' },
      { type: 'pid' },
      { type: 'ipc' },
      { type: 'uts', path: 'container:1' },
      { type: 'cgroup' },
      { type: 'network', path: 'container:1' },
    ]);
    const ofHost = plan({ options, peers: { network: { ...peer, ofHost: true }, uts: peer } });
    expect(ofHost.oci.linux.namespaces.map(({ type }) => type)).not.toContain('network');
  });

  test('a user namespace: maps, mapped mounts, ids that it has', () => {
    const map = [{ containerId: 0, hostId: 1000, size: 10 }];
    const userns = { uidMap: map, gidMap: map };
    const bind = { type: 'bind', source: '/a', target: '/a' };
    const mounts = [bind, { ...bind, target: '/b', idmap: true }];
    const { oci, owner } = plan({ options: { security: { userns }, mounts } });
    expect(oci.linux.namespaces).toContainEqual({ type: 'user' });
    expect(oci.linux.gidMappings).toEqual([{ containerID: 0, hostID: 1000, size: 10 }]);
    expect(owner).toEqual({ uid: 1000, gid: 1000 });
    const mapped = oci.mounts.filter(({ options }) => options.includes('ridmap'));
    expect(mapped.map(({ destination }) => destination)).toEqual(['/b']);
    const refused = (options: object, host: Partial<PlanHost> = {}): unknown => {
      try {
        return plan({ options, host: { ...PLAN_HOST, ...host } });
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    expect(refused({ security: { userns }, user: '10' })).toBe('ERR_UNSUPPORTED');
    expect(refused({ security: { userns } }, { rootless: true })).toBe('ERR_UNSUPPORTED');
    expect(refused({ security: { userns, pid: 'host' } })).toBe('ERR_INVALID_ARGUMENT');
    expect(
      plan({ options: { mounts } }).oci.mounts.flatMap(({ options }) => options),
    ).not.toContain('ridmap');
  });

  test("the machine's pid namespace: a cgroup, and a /proc that can be had", () => {
    const options = { security: { pid: 'host' } };
    const { oci } = plan({ options });
    expect(oci.linux.namespaces).not.toContainEqual({ type: 'pid' });
    expect(oci.mounts[0]).toMatchObject({ destination: '/proc', type: 'proc' });
    const rootless = plan({ options, host: { ...PLAN_HOST, rootless: true } });
    expect(rootless.oci.mounts[0]).toMatchObject({ type: 'bind', source: '/proc' });
    expect(() => plan({ options, host: { ...PLAN_HOST, cgroups: false } })).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        details: expect.objectContaining({ what: "security.pid: 'host'" }),
        hint: expect.stringContaining('Delegate=yes'),
      }),
    );
  });

  test('of two of which one has it, neither shares with the other', () => {
    const peer = { id: '1', name: 'one', hostname: 'one', files: [], ofHost: false };
    const asking = (pid: string, outside: boolean) => () =>
      plan({
        options: { networks: 'container:one', security: { pid } },
        peers: { network: { ...peer, outside } },
      });
    expect(asking('host', true)).not.toThrow();
    expect(asking('private', false)).not.toThrow();
    const refused = expect.objectContaining({ code: 'ERR_UNSUPPORTED' }) as Error;
    expect(asking('host', false)).toThrow(refused);
    expect(asking('private', true)).toThrow(refused);
    const pid = { ...peer, ofHost: true, outside: true };
    expect(() => plan({ options: { security: { pid: 'container:one' } }, peers: { pid } })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });

  test.each<[object, string]>([
    [{ networks: 'container:x', dns: { servers: ['1.1.1.1'] } }, 'dns'],
    [{ networks: 'container:x', extraHosts: { a: '1.1.1.1' } }, 'extraHosts'],
    [{ security: { uts: 'host' }, hostname: 'a' }, 'hostname'],
    [{ security: { uts: 'container:x' }, hostname: 'a' }, 'hostname'],
  ])('%j', (options, option) => {
    expect(() => plan({ options })).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: expect.objectContaining({ option }),
      }),
    );
  });

  test('dns says what resolv.conf says', () => {
    const dns = { servers: ['1.1.1.1', '::1'], search: ['a.org', 'b.org'], options: ['ndots:2'] };
    expect(plan({ options: { dns } }).files[2]?.content).toBe(
      'nameserver 1.1.1.1\nnameserver ::1\nsearch a.org b.org\noptions ndots:2\n',
    );
  });
});

describe('who runs', () => {
  test.each<[object, ImageConfig, string, object]>([
    [{}, {}, '0', { uid: 0, gid: 0 }],
    [{}, { User: '' }, '0', { uid: 0, gid: 0 }],
    [{}, { User: '1000:50' }, '1000:50', { uid: 1000, gid: 50 }],
    [{ user: 'www-data' }, { User: '1000' }, 'www-data', { uid: 0, gid: 0, username: 'www-data' }],
    [{ user: '5:games' }, {}, '5:games', { uid: 5, gid: 0, username: '5:games' }],
  ])('%j of %j', (options, config, user, oci) => {
    const made = plan({ options, config });
    expect(made.user).toBe(user);
    expect(made.oci.process.user).toEqual({ ...oci, umask: 0o022 });
  });

  test('an image cannot say what a user could not', () => {
    for (const User of ['99999999999', 'a:b:c', 'x\nroot']) {
      expect(() => plan({ config: { User } })).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
  });
});

describe('security', () => {
  test('capabilities: drop, then add; inheritable and ambient stay empty', () => {
    const caps = (security: object): readonly string[] =>
      plan({ options: { security } }).oci.process.capabilities.bounding;
    expect(caps({})).toContain('CAP_NET_RAW');
    expect(caps({})).toContain('CAP_MKNOD');
    expect(caps({ capDrop: ['ALL'] })).toEqual([]);
    expect(caps({ capDrop: ['ALL'], capAdd: ['cap_net_admin'] })).toEqual(['CAP_NET_ADMIN']);
    expect(caps({ capDrop: ['net_raw'] })).not.toContain('CAP_NET_RAW');
    expect(caps({ capAdd: ['SYS_ADMIN'] })).toContain('CAP_SYS_ADMIN');
    const { inheritable, ambient } = plan().oci.process.capabilities;
    expect([inheritable, ambient]).toEqual([[], []]);
  });

  test('ALL stands for every capability, in either list', () => {
    const caps = (security: object, host: Partial<PlanHost> = {}): readonly string[] =>
      plan({ options: { security }, host }).oci.process.capabilities.bounding;
    const rootless = { rootless: true };
    expect(caps({ capAdd: ['ALL'] }, rootless)).toHaveLength(41);
    expect(caps({ capAdd: ['ALL'], capDrop: ['ALL'] }, rootless)).toHaveLength(41);
    const some = caps({ capAdd: ['ALL', 'CHOWN'], capDrop: ['MKNOD', 'CHOWN', 'SYS_ADMIN'] });
    expect(some).toHaveLength(39);
    expect(some).toContain('CAP_CHOWN');
    // ALL is what the machine gives; what is named must be there.
    const trimmed = { rootless: true, capabilities: capabilitiesOf(0x7fn) };
    expect(caps({ capAdd: ['ALL'] }, trimmed)).toHaveLength(7);
    expect(caps({ preset: 'privileged' }, trimmed)).toHaveLength(7);
    expect(caps({ preset: 'strict' }, trimmed)).toEqual([]);
    for (const security of [{}, { capAdd: ['ALL', 'SYS_ADMIN'] }]) {
      expect(() => caps(security, trimmed)).toThrow(
        expect.objectContaining({ code: 'ERR_UNSUPPORTED', hint: expect.any(String) as string }),
      );
    }
    // As root a node leads to the machine's disks, unless a device cgroup is before them.
    const unguarded = { controls: 0 };
    expect(caps({}, unguarded)).toHaveLength(13);
    expect(caps({ capAdd: ['ALL'] }, unguarded)).toHaveLength(40);
    expect(caps({ preset: 'privileged' }, unguarded)).toHaveLength(41);
    expect(() => caps({ capAdd: ['MKNOD'] }, unguarded)).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });

  test('strict: no capability, no way to one, the strict calls', () => {
    const { oci, seccomp } = plan({ options: { security: 'strict' } });
    expect(oci.process.capabilities.bounding).toEqual([]);
    expect(oci.process.noNewPrivileges).toBe(true);
    expect(seccomp).toBe('strict');
    expect(oci.linux).toEqual(plan().oci.linux);
    expect(oci.mounts).toEqual(plan().oci.mounts);
  });

  test('privileged: everything, nothing masked, /sys and cgroups to be written to', () => {
    const mounts = [{ type: 'bind', source: '/dev', target: '/host' }];
    const { oci, seccomp } = plan({ options: { security: 'privileged', mounts } });
    expect(oci.process.capabilities.effective).toHaveLength(41);
    expect(oci.process.noNewPrivileges).toBe(false);
    expect(seccomp).toBe('unconfined');
    expect([oci.linux.maskedPaths, oci.linux.readonlyPaths]).toEqual([[], []]);
    const options = (target: string): readonly string[] | undefined =>
      oci.mounts.find(({ destination }) => destination === target)?.options;
    for (const target of ['/sys', '/sys/fs/cgroup']) expect(options(target)).not.toContain('ro');
    expect(options('/host')).not.toContain('nodev');
  });

  test('single options stand over a preset', () => {
    const security = {
      preset: 'strict',
      capAdd: ['CHOWN'],
      noNewPrivileges: false,
      seccomp: 'default',
      maskedPaths: ['/x'],
    };
    const { oci, seccomp } = plan({ options: { security } });
    expect(oci.process.capabilities.bounding).toEqual(['CAP_CHOWN']);
    expect(oci.process.noNewPrivileges).toBe(false);
    expect(seccomp).toBe('default');
    expect(oci.linux.maskedPaths).toEqual(['/x']);
    const less = plan({ options: { security: { preset: 'privileged', capDrop: ['ALL'] } } });
    expect(less.oci.process.capabilities.bounding).toEqual([]);
  });

  test('timeOffsets: a time namespace, where the kernel has them', () => {
    const timeOffsets = { boottime: { secs: -5 } };
    const options = { security: { timeOffsets } };
    const { namespaces, timeOffsets: planned } = plan({ options }).oci.linux;
    expect(namespaces).toContainEqual({ type: 'time' });
    expect(planned).toEqual({ boottime: { secs: -5, nanosecs: 0 } });
    expect(plan({ options: { security: { timeOffsets: {} } } }).oci.linux).toEqual(
      plan().oci.linux,
    );
    expect(() => plan({ options, host: { timeNamespaces: false } })).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });

  test('sysctls: over Docker’s two; none of a network that is shared', () => {
    const sysctls = { 'net/ipv4/ip_unprivileged_port_start': '80', 'kernel.msgmax': '9000' };
    const options = { security: { sysctls } };
    expect(plan({ options }).oci.linux.sysctl).toEqual({
      'net.ipv4.ping_group_range': '0 2147483647',
      ...sysctls,
    });
    expect(() => plan({ options: { ...options, networks: 'host' } })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
    const shared = { networks: 'host', security: { sysctls: { 'kernel.msgmax': '9000' } } };
    expect(plan({ options: shared }).oci.linux.sysctl).toEqual({ 'kernel.msgmax': '9000' });
  });

  test('limits: open files begin where a login does', () => {
    const limits = (security: object): unknown =>
      plan({ options: { security } }).oci.process.rlimits;
    expect(limits({})).toEqual([{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 524_288 }]);
    expect(limits({ ulimits: { core: 0, nofile: { soft: 5, hard: 6 } } })).toEqual([
      { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      { type: 'RLIMIT_NOFILE', soft: 5, hard: 6 },
    ]);
    expect(limits({ ulimits: { memlock: Infinity } })).toContainEqual({
      type: 'RLIMIT_MEMLOCK',
      soft: -1,
      hard: -1,
    });
  });

  test('paths and the root file system', () => {
    const security = { maskedPaths: ['/proc/x'], readOnlyPaths: [], readOnlyRootfs: true };
    const { root, linux } = plan({ options: { security } }).oci;
    expect(root.readonly).toBe(true);
    expect(linux.maskedPaths).toEqual(['/proc/x']);
    expect(linux.readonlyPaths).toEqual([]);
  });
});
