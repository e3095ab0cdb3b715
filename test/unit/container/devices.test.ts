import { describe, expect, test } from 'vitest';
import { parseDevices } from '../../../lib/container/device-request.js';
import { planDevices, type DeviceHost } from '../../../lib/container/plan-devices.js';
import { splitNumber, type HostDevice } from '../../../lib/host/devices.js';
import { Control } from '../../../lib/native/protocol.js';

const refused = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error;
const unsupported = expect.objectContaining({
  code: 'ERR_UNSUPPORTED',
  hint: expect.any(String) as string,
}) as Error;

function device(path: string, more: Partial<HostDevice> = {}): HostDevice {
  const access = { mode: 0o660, uid: 0, gid: 44, mayRead: true, mayWrite: true };
  return { path, type: 'c', major: 10, minor: 229, ...access, ...more };
}
const NULL = device('/dev/null', { major: 1, minor: 3 });
const FUSE = device('/dev/fuse');
const SOUND = [device('/dev/snd/seq'), device('/dev/snd/by/path')];

const HOST: DeviceHost = {
  rootless: false,
  controls: Control.devices,
  devicesAt: (path) =>
    path === '/dev/snd' ? SOUND : [NULL, FUSE].filter((each) => each.path === path),
  allDevices: () => [NULL, FUSE, ...SOUND, device('/dev/mem', { mayWrite: false })],
};

const plan = (
  devices: readonly unknown[],
  host: Partial<DeviceHost> = {},
  privileged = false,
): ReturnType<typeof planDevices> =>
  planDevices(parseDevices(devices), privileged, { ...HOST, ...host });

describe('as Docker writes them', () => {
  test.each<[unknown, object]>([
    ['/dev/a', { hostPath: '/dev/a', path: '/dev/a', permissions: 'rwm' }],
    ['/dev/a:/dev/b', { hostPath: '/dev/a', path: '/dev/b', permissions: 'rwm' }],
    ['/dev/a:wr', { hostPath: '/dev/a', path: '/dev/a', permissions: 'rw' }],
    ['/dev/a:/dev/b:mr', { hostPath: '/dev/a', path: '/dev/b', permissions: 'rm' }],
    [{ hostPath: '/dev/a' }, { hostPath: '/dev/a', path: '/dev/a', permissions: 'rwm' }],
    [
      { hostPath: '/dev/../dev/a', path: '/x', permissions: 'r' },
      { hostPath: '/dev/a', path: '/x', permissions: 'r' },
    ],
  ])('%j', (asked, parsed) => {
    expect(parseDevices([asked])).toEqual([parsed]);
  });

  test.each<unknown>([
    '',
    'dev/a',
    '/dev/a:b',
    '/dev/a:',
    '/dev/a:rr',
    '/dev/a:/dev/b:rwmx',
    '/dev/a:/dev/b:rw:m',
    '/dev/a:/dev/b:',
    '/dev/a\0',
    5,
    null,
    {},
    { hostPath: '/dev/a', source: '/dev/b' },
    { hostPath: '/dev/a', permissions: '' },
  ])('%j is refused', (asked) => {
    expect(() => parseDevices([asked])).toThrow(refused);
  });
});

describe('as root', () => {
  test('a node like the host’s, wherever it is asked for', () => {
    expect(plan(['/dev/fuse:/opt/fuse'])).toEqual({
      nodes: [
        { path: '/opt/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o660, uid: 0, gid: 44 },
      ],
      mounts: [],
      rules: [{ type: 'c', major: 10, minor: 229, permissions: 'rwm' }],
    });
  });

  test('a folder is all that is below it', () => {
    const paths = plan(['/dev/snd:/dev/sound']).nodes.map(({ path }) => path);
    expect(paths).toEqual(['/dev/sound/seq', '/dev/sound/by/path']);
  });

  test('what every container has is not made again, nor anything in its place', () => {
    expect(plan(['/dev/null']).nodes).toEqual([]);
    for (const path of [
      '/dev',
      '/dev/zero',
      '/dev/ptmx',
      '/dev/pts/0',
      '/dev/fd',
      '/dev/console',
    ]) {
      expect(() => plan([`/dev/fuse:${path}`])).toThrow(refused);
    }
    expect(() => plan(['/dev/none'])).toThrow(refused);
  });

  test('what may be done with it is a rule of the device cgroup, so there must be one', () => {
    expect(plan(['/dev/fuse:r']).rules).toMatchObject([{ permissions: 'r' }]);
    expect(() => plan(['/dev/fuse:r'], { controls: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED' }),
    );
  });

  test('privileged: all of them', () => {
    const { nodes, rules } = plan(['/dev/fuse:/dev/other'], {}, true);
    const paths = nodes.map(({ path }) => path);
    expect(paths).toEqual([
      '/dev/fuse',
      '/dev/snd/seq',
      '/dev/snd/by/path',
      '/dev/mem',
      '/dev/other',
    ]);
    expect(rules).toHaveLength(5);
  });
});

describe('as an ordinary user', () => {
  const user = (more: Partial<HostDevice>): Partial<DeviceHost> => ({
    rootless: true,
    devicesAt: () => [device('/dev/fuse', more)],
  });

  test('the host’s node is bound, without nodev', () => {
    const { nodes, mounts } = plan(['/dev/fuse'], user({}));
    expect(nodes).toEqual([]);
    expect(mounts).toMatchObject([{ destination: '/dev/fuse', source: '/dev/fuse', type: 'bind' }]);
    expect(mounts[0]?.options).not.toContain('nodev');
  });

  test('not what the user may not open, and no less than the user may', () => {
    expect(() => plan(['/dev/fuse'], user({ mayWrite: false }))).toThrow(unsupported);
    expect(() => plan(['/dev/fuse:r'], user({}))).toThrow(unsupported);
    expect(plan(['/dev/fuse:r'], user({ mayWrite: false })).mounts).toHaveLength(1);
  });

  test('privileged: what the user may use', () => {
    const { mounts } = plan([], { rootless: true }, true);
    const targets = mounts.map(({ destination }) => destination);
    expect(targets).toEqual(['/dev/fuse', '/dev/snd/seq', '/dev/snd/by/path']);
  });
});

test('numbers, as makedev(3) has put them together', () => {
  expect(splitNumber(0x103)).toEqual({ major: 1, minor: 3 });
  expect(splitNumber(0x8_0010)).toEqual({ major: 0x800, minor: 0x10 });
  // 259:1048575
  expect(splitNumber(0xfff1_03ff)).toEqual({ major: 259, minor: 0xfffff });
});
