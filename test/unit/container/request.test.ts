import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { parseExec, parseSpawn } from '../../../lib/container/collect-request.js';
import { parseContainer, parseRun } from '../../../lib/container/request.js';

type Refusal = { code?: string; option?: string; what?: string; reason?: string };

function refusal(call: () => unknown): Refusal {
  try {
    call();
    return {};
  } catch (error) {
    const { code, details } = error as { code: string; details: Refusal };
    return { code, ...details };
  }
}

const container = (options: object): Refusal =>
  refusal(() => parseContainer({ image: 'x', ...options }));
const run = (argv: unknown, options?: unknown): Refusal =>
  refusal(() => parseRun('x', argv, options));

test('a terminal is there to be typed on, unless it is said otherwise', () => {
  expect(parseContainer({ image: 'x', tty: true }).stdin).toBe('pipe');
  expect(parseContainer({ image: 'x', tty: true, stdin: 'ignore' }).stdin).toBe('ignore');
  expect(parseContainer({ image: 'x' }).stdin).toBe('ignore');
  expect(container({ tty: { columns: 80 } })).toMatchObject({ option: 'tty.rows' });
});

test('what is not said is the default', () => {
  const request = parseContainer({ image: 'debian' });
  expect(request).toMatchObject({
    image: 'debian',
    stdin: 'ignore',
    network: 'none',
    mounts: [],
    labels: {},
    autoRemove: false,
    log: { type: 'file', maxBytes: 16 * 2 ** 20, files: 3 },
    process: { env: {}, timeoutMs: 0 },
    security: { noNewPrivileges: false, readOnlyRootfs: false },
  });
  expect(request.security.capabilities).toHaveLength(14);
  expect(request.name).toBeUndefined();
  expect(parseRun('x', undefined, undefined).collect).toEqual({
    input: undefined,
    maxOutputBytes: 16 * 2 ** 20,
    encoding: 'utf8',
    check: false,
  });
});

describe('bad values name their option', () => {
  const long = 'x'.repeat(128 * 1024);
  test.each<[object, string]>([
    [{ image: '' }, 'image'],
    [{ image: 5 }, 'image'],
    [{ name: 'a/b' }, 'name'],
    [{ name: '-a' }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 'a\n' }, 'name'],
    [{ name: 'a'.repeat(129) }, 'name'],
    [{ argv: 'ls' }, 'argv'],
    [{ argv: ['ls', 5] }, 'argv[1]'],
    [{ argv: [''] }, 'argv[0]'],
    [{ argv: ['a\0b'] }, 'argv[0]'],
    [{ argv: ['a', long] }, 'argv[1]'],
    [{ entrypoint: ['a', 'b\0'] }, 'entrypoint[1]'],
    [{ env: ['A=1'] }, 'env'],
    [{ env: { 'A=B': '1' } }, 'env'],
    [{ env: { '': '1' } }, 'env'],
    [{ env: { 'A\0': '1' } }, 'env'],
    [{ env: { A: 1 } }, 'env.A'],
    [{ env: { A: undefined } }, 'env.A'],
    [{ env: { A: 'x\0y' } }, 'env.A'],
    [{ env: { A: long } }, 'env.A'],
    [{ cwd: 'relative' }, 'cwd'],
    [{ cwd: '' }, 'cwd'],
    [{ user: '' }, 'user'],
    [{ user: 0 }, 'user'],
    [{ user: 'a:b:c' }, 'user'],
    [{ user: '4294967295' }, 'user'],
    [{ user: '99999999999' }, 'user'],
    [{ user: '-1' }, 'user'],
    [{ user: '+1' }, 'user'],
    [{ user: 'a b' }, 'user'],
    [{ user: 'a\nroot' }, 'user'],
    [{ user: ':0' }, 'user'],
    [{ user: 'a:' }, 'user'],
    [{ user: 'a/b' }, 'user'],
    [{ hostname: 'a_b' }, 'hostname'],
    [{ hostname: '-a' }, 'hostname'],
    [{ hostname: 'a..b' }, 'hostname'],
    [{ hostname: 'a'.repeat(64) }, 'hostname'],
    [{ labels: { a: 1 } }, 'labels.a'],
    [{ stdin: 'inherit' }, 'stdin'],
    [{ timeoutMs: -1 }, 'timeoutMs'],
    [{ timeoutMs: 1.5 }, 'timeoutMs'],
    [{ timeoutMs: '1s' }, 'timeoutMs'],
    [{ networks: 'nat' }, 'networks'],
    [{ networks: 'container:' }, 'networks'],
    [{ security: { pid: 'none' } }, 'security.pid'],
    [{ security: { ipc: 'container:' } }, 'security.ipc'],
    [{ security: { uts: 5 } }, 'security.uts'],
    [{ networks: 5 }, 'networks'],
    [{ dns: { servers: ['a b'] } }, 'dns.servers[0]'],
    [{ dns: { servers: ['example.org'] } }, 'dns.servers[0]'],
    [{ dns: { search: ['a\nnameserver 6.6.6.6'] } }, 'dns.search[0]'],
    [{ extraHosts: { 'a b': '1.1.1.1' } }, 'extraHosts'],
    [{ extraHosts: { a: 'b' } }, 'extraHosts.a'],
    [{ mounts: [{ type: 'nfs' }] }, 'mounts[0].type'],
    [{ mounts: [{ type: 'bind', source: 'x', target: '/x' }] }, 'mounts[0].source'],
    [{ mounts: [{ type: 'bind', source: '/x', target: 'x' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'bind', source: '/x', target: '/proc/1' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'bind', source: '/x', target: '/a/../proc' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'tmpfs', target: '/sys/x' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'tmpfs', target: '/' }] }, 'mounts[0].target'],
    [{ mounts: [{ type: 'tmpfs', target: '/a', sizeBytes: 0 }] }, 'mounts[0].sizeBytes'],
    [{ mounts: [{ type: 'tmpfs', target: '/a', readOnly: true }] }, 'mounts[0].readOnly'],
    [
      {
        mounts: [
          { type: 'tmpfs', target: '/a' },
          { type: 'tmpfs', target: '/a/' },
        ],
      },
      'mounts[1].target',
    ],
    [{ security: 'none' }, 'security'],
    [{ security: { capAdd: ['NET_ADMN'] } }, 'security.capAdd[0]'],
    [{ security: { ulimits: { nofiles: 5 } } }, 'security.ulimits.nofiles'],
    [{ security: { ulimits: { nofile: { soft: 5, hard: 4 } } } }, 'security.ulimits.nofile'],
    [{ security: { ulimits: { nofile: -2 } } }, 'security.ulimits.nofile'],
    [{ security: { groupAdd: ['a:b'] } }, 'security.groupAdd[0]'],
    [{ security: { preset: 'paranoid' } }, 'security.preset'],
    [{ security: { seccomp: 'off' } }, 'security.seccomp'],
    [{ security: { sysctls: ['a'] } }, 'security.sysctls'],
    [{ security: { timeOffsets: { realtime: { secs: 1 } } } }, 'security.timeOffsets.realtime'],
    [{ security: { timeOffsets: { boottime: {} } } }, 'security.timeOffsets.boottime'],
    [
      { security: { timeOffsets: { boottime: { secs: 0.5 } } } },
      'security.timeOffsets.boottime.secs',
    ],
    [
      { security: { timeOffsets: { monotonic: { nanosecs: 1e9 } } } },
      'security.timeOffsets.monotonic.nanosecs',
    ],
    [
      { security: { sysctls: { 'net.core.somaxconn': 5 } } },
      'security.sysctls["net.core.somaxconn"]',
    ],
    [{ security: { maskedPaths: ['proc'] } }, 'security.maskedPaths[0]'],
    [{ log: { type: 'syslog' } }, 'log.type'],
    [{ log: { type: 'file', maxBytes: 10 } }, 'log.maxBytes'],
    [{ log: { type: 'file', files: 0 } }, 'log.files'],
    [{ signal: {} }, 'signal'],
    [{ imgae: 'x' }, 'imgae'],
    [{ cgroupParent: 'a' }, 'cgroupParent'],
    [{ cgroupParent: '/' }, 'cgroupParent'],
    [{ cgroupParent: '/a/../b' }, 'cgroupParent'],
    [{ cgroupParent: '/a/' }, 'cgroupParent'],
    [{ cgroupParent: '/a\nb' }, 'cgroupParent'],
    [{ cgroupParent: '/a/cgroup.procs' }, 'cgroupParent'],
    [{ cgroupParent: '/tasks' }, 'cgroupParent'],
    [{ cgroupParent: '/memory.max/a' }, 'cgroupParent'],
    [{ limits: { memory: 5 } }, 'limits.memory'],
  ])('%j', (options, option) => {
    expect(container(options)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', option });
  });

  test('the nearest known name is said', () => {
    expect(container({ imgae: 'x' }).reason).toContain('"image"');
    expect(container({ limits: { memory: 5 } }).reason).toContain('"memoryBytes"');
    expect(container({ security: { capAdd: ['NET_ADMN'] } }).reason).toContain('"NET_ADMIN"');
  });

  test('a value that may be a secret is not shown', () => {
    const { reason } = container({ env: { TOKEN: 's3cret\0' } });
    expect(reason).not.toContain('s3cret');
  });
});

describe('what later versions bring is refused by name', () => {
  test.each<[object, string]>([
    [{ detached: true }, 'detached'],
    [{ publish: [80] }, 'publish'],
    [{ egress: 'deny-all' }, 'egress'],
    [{ limits: { diskBytes: '1GiB' } }, 'limits.diskBytes'],
    [{ health: { test: ['true'] } }, 'health'],
    [{ restart: { policy: 'always' } }, 'restart'],
    [{ files: { '/a': 'b' } }, 'files'],
    [{ networks: 'bridge' }, "networks: 'bridge'"],
    [{ networks: [{}] }, 'networks: a list of networks'],
    [
      { security: { seccomp: { defaultAction: 'SCMP_ACT_NOTIFY' } } },
      'security.seccomp.defaultAction: SCMP_ACT_NOTIFY',
    ],
    [{ mounts: [{ type: 'volume', volume: 'v', target: '/v' }] }, 'mounts[0]: a volume'],
  ])('%j', (options, what) => {
    expect(container(options)).toMatchObject({ code: 'ERR_UNSUPPORTED', what });
    expect(container(options)).toHaveProperty('since');
  });

  test.each([
    { tty: false },
    { init: false },
    { detached: false },
    { publish: [] },
    { limits: {} },
    { restart: { policy: 'no' } },
    { files: {} },
    { networks: [] },
    { networks: 'none' },
    { security: { seccomp: 'unconfined', userns: 'host', pid: 'private', devices: [] } },
    { tty: undefined, health: undefined },
  ])('%j asks for nothing and is taken', (options) => {
    expect(container(options)).toEqual({});
  });
});

describe('run', () => {
  test.each<[unknown, unknown, string]>([
    ['ls', undefined, 'argv'],
    [['ls'], { stdin: 'pipe' }, 'stdin'],
    [['ls'], { image: 'x' }, 'image'],
    [['ls'], { argv: ['x'] }, 'argv'],
    [['ls'], { detached: true }, 'detached'],
    [['ls'], { autoRemove: true }, 'autoRemove'],
    [['ls'], { input: 5 }, 'input'],
    [['ls'], { encoding: 'hex' }, 'encoding'],
    [['ls'], { maxOutputBytes: -1 }, 'maxOutputBytes'],
    [['ls'], { maxOutputBytes: 2 ** 31 }, 'maxOutputBytes'],
    [['ls'], { chekc: true }, 'chekc'],
    [['ls'], { privileged: true }, 'privileged'],
    [['ls'], 'x', 'options'],
    [['ls'], null, 'options'],
  ])('%j %j', (argv, options, option) => {
    expect(run(argv, options)).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', option });
  });

  test('input is a string, bytes or a stream', () => {
    for (const input of ['a', Buffer.from('a'), new Uint8Array(1), Readable.from(['a'])]) {
      expect(parseRun('x', ['cat'], { input }).collect.input).toBe(input);
    }
  });
});

describe('exec and spawn', () => {
  test('argv is needed', () => {
    expect(refusal(() => parseExec([], undefined))).toMatchObject({ option: 'argv' });
    expect(refusal(() => parseExec(undefined, undefined))).toMatchObject({ option: 'argv' });
    expect(refusal(() => parseSpawn(['a', 'b\0'], {}))).toMatchObject({ option: 'argv[1]' });
  });

  test('what belongs to the other one is unknown', () => {
    expect(refusal(() => parseSpawn(['a'], { input: 'x' }))).toMatchObject({ option: 'input' });
    expect(refusal(() => parseExec(['a'], { stdin: 'pipe' }))).toMatchObject({ option: 'stdin' });
  });

  test('stdin is a pipe for spawn', () => {
    expect(parseSpawn(['cat'], undefined).stdin).toBe('pipe');
  });

  test('privileged is yes or no', () => {
    expect(parseExec(['a'], { privileged: true }).privileged).toBe(true);
    expect(parseSpawn(['a'], {}).privileged).toBe(false);
    expect(refusal(() => parseExec(['a'], { privileged: 'yes' }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      option: 'privileged',
    });
  });

  test('a terminal for spawn, of a size that is one', () => {
    const tty = (value: unknown): unknown => parseSpawn(['a'], { tty: value }).tty;
    expect(tty(undefined)).toBeUndefined();
    expect(tty(false)).toBeUndefined();
    expect(tty(true)).toEqual({ columns: 80, rows: 24 });
    expect(tty({ columns: 1, rows: 65_535 })).toEqual({ columns: 1, rows: 65_535 });
    for (const [wrong, option] of [
      [1, 'tty'],
      [null, 'tty'],
      [{ columns: 80 }, 'tty.rows'],
      [{ columns: 0, rows: 1 }, 'tty.columns'],
      [{ columns: 1, rows: 65_536 }, 'tty.rows'],
      [{ columns: 1, rows: 1, height: 1 }, 'tty.height'],
    ] as const) {
      expect(refusal(() => tty(wrong))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', option });
    }
    expect(refusal(() => parseExec(['a'], { tty: true }))).toMatchObject({ option: 'tty' });
  });
});

test('users and groups as Docker writes them', () => {
  for (const user of [
    '0',
    '1000',
    '1000:1000',
    'www-data',
    'name:group',
    '4294967294',
    'a.b_c@d',
  ]) {
    expect(parseContainer({ image: 'x', user }).process.user).toBe(user);
  }
});
