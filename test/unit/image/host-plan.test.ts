import { describe, expect, test } from 'vitest';
import { mountedBelow, type HostPath } from '../../../lib/image/host-facts.js';
import { planHost } from '../../../lib/image/host-plan.js';

const folder = (path: string): HostPath => ({ path, kind: 'folder' });
const file = (path: string): HostPath => ({ path, kind: 'file' });
const link = (
  path: string,
  text: string,
  real: string,
  kind: 'folder' | 'file' = 'folder',
): HostPath => ({
  path,
  kind,
  link: { text, real },
});

/** Debian since 2019. */
const MERGED = [
  folder('/usr'),
  link('/bin', 'usr/bin', '/usr/bin'),
  link('/lib64', 'usr/lib64', '/usr/lib64'),
  folder('/usr/bin'),
  file('/etc/passwd'),
  folder('/etc/ssl/certs'),
  link('/etc/localtime', '/usr/share/zoneinfo/Etc/UTC', '/usr/share/zoneinfo/Etc/UTC', 'file'),
];

const mounts = (found: HostPath[], writable: string[] = []): string[] =>
  planHost(found, writable).mounts.map(
    ({ type, source, target, readOnly }) =>
      `${type} ${source === target ? target : `${source} ${target}`}${readOnly ? ' ro' : ''}`,
  );

const entry = (found: HostPath[], path: string): unknown =>
  planHost(found, []).entries.find((one) => one.path === path);

describe('planHost', () => {
  test('links of a merged /usr stay links; what is within a bind needs none', () => {
    expect(mounts(MERGED)).toEqual([
      'bind /etc/passwd ro',
      'bind /etc/ssl/certs ro',
      'bind /usr ro',
    ]);
    expect(entry(MERGED, 'bin')).toEqual({ type: 'link', path: 'bin', target: 'usr/bin' });
    expect(entry(MERGED, 'etc/localtime')).toEqual({
      type: 'link',
      path: 'etc/localtime',
      target: '/usr/share/zoneinfo/Etc/UTC',
    });
  });

  test('every mount point is in the layer, below folders that anybody can pass', () => {
    expect(entry(MERGED, 'usr')).toEqual({ type: 'folder', path: 'usr', mode: 0o755 });
    expect(entry(MERGED, 'etc/passwd')).toEqual({ type: 'file', path: 'etc/passwd', mode: 0o644 });
    expect(entry(MERGED, 'etc/ssl')).toEqual({ type: 'folder', path: 'etc/ssl', mode: 0o755 });
    expect(entry(MERGED, 'etc/ssl/certs')).toMatchObject({ type: 'folder' });
    const paths = planHost(MERGED, []).entries.map(({ path }) => path);
    for (const path of paths) {
      const above = path.slice(0, Math.max(0, path.lastIndexOf('/')));
      if (above !== '') expect(paths.indexOf(above)).toBeLessThan(paths.indexOf(path));
    }
  });

  test('the root has its own /tmp, /root, /var', () => {
    expect(entry([], 'tmp')).toMatchObject({ mode: 0o1777 });
    expect(entry([], 'root')).toMatchObject({ mode: 0o700 });
    expect(entry([], 'var/tmp')).toMatchObject({ mode: 0o1777 });
    expect(entry([], 'var/run')).toEqual({ type: 'link', path: 'var/run', target: '../run' });
  });

  test('a link to elsewhere shows what it means, and nothing around it', () => {
    const found = [folder('/usr'), link('/lib', 'nix/lib', '/nix/store/lib')];
    expect(mounts(found)).toEqual(['bind /nix/store/lib /lib ro', 'bind /usr ro']);
    expect(entry(found, 'lib')).toMatchObject({ type: 'folder' });
  });

  test('a link by way of a hidden one is made straight', () => {
    const found = [folder('/usr'), link('/etc/localtime', '/var/zone', '/usr/zone', 'file')];
    expect(entry(found, 'etc/localtime')).toMatchObject({ type: 'link', target: '/usr/zone' });
  });

  test('a folder and what is in it is one bind; siblings with a common beginning are two', () => {
    expect(mounts([folder('/opt/a'), folder('/opt'), folder('/optional')])).toEqual([
      'bind /opt ro',
      'bind /optional ro',
    ]);
  });

  test('writable folders are copy-on-write', () => {
    expect(mounts(MERGED, ['/usr'])).toContain('overlay /usr');
    expect(mounts(MERGED, ['/usr/local'])).toEqual(
      expect.arrayContaining(['bind /usr ro', 'overlay /usr/local']),
    );
    expect(mounts(MERGED, ['/bin'])).toContain('overlay /usr/bin');
  });

  test.each([
    ['/etc/passwd', 'must be a folder'],
    ['/srv', 'is not shown'],
  ])('%s cannot be made writable', (path, reason) => {
    expect(() => planHost(MERGED, [path])).toThrow(reason);
  });

  test('is pure: the same facts give the same plan', () => {
    expect(planHost(MERGED, ['/usr'])).toEqual(planHost(MERGED, ['/usr']));
  });
});

test('what is mounted below a folder, its name as it is', () => {
  const mountinfo =
    '22 1 254:0 / / rw - ext4 /dev/vda rw\n' +
    '23 22 0:21 / /usr rw - tmpfs none rw\n' +
    '24 22 0:22 / /usrlocal rw - tmpfs none rw\n' +
    '25 22 0:23 / /opt/a\\040b rw - tmpfs none rw\n';
  expect(['/usr', '/opt', '/home'].map((folder) => mountedBelow(folder, mountinfo))).toEqual([
    undefined,
    '/opt/a b',
    undefined,
  ]);
});
