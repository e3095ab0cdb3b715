// The runtime-spec's "root" and "mounts", in a bundle that the one-shot form of launch starts, and runc too.
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { bundle, configOf, type Bundle, type Config } from '../helpers/bundle.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

const { describe, test } = needs('root', 'native', 'busybox', 'runc');
checkLeaks();

type Mount = Config['mounts'][number];

/** The options of the mount at a path, without those of its file system. */
const OPTIONS = (path: string): string =>
  `grep " ${path} " /proc/self/mountinfo | cut -d" " -f5,6 | tail -n 1`;

const CASES: readonly [string, string, Mount[], RegExp][] = [
  [
    'a bind of a folder, relative to the bundle',
    `cat /data/file; ${OPTIONS('/data')}; touch /data/new && rm /data/new && echo written`,
    [{ destination: '/data', source: 'data', options: ['rbind'] }],
    /^content\n\/data rw.*\nwritten\n$/,
  ],
  [
    'a bind of a file, read-only',
    'cat /etc/said; (echo x > /etc/said) 2>/dev/null || echo refused',
    [{ destination: '/etc/said', type: 'none', source: 'data/file', options: ['bind', 'ro'] }],
    /^content\nrefused\n$/,
  ],
  [
    'noexec, nosuid, nodev, noatime',
    `/data/program 2>/dev/null || echo refused; ${OPTIONS('/data')}`,
    [
      {
        destination: '/data',
        source: 'data',
        options: ['rbind', 'noexec', 'nosuid', 'nodev', 'noatime'],
      },
    ],
    /^refused\n\/data rw,nosuid,nodev,noexec,noatime\n$/,
  ],
  [
    'a tmpfs with its options',
    `${OPTIONS('/scratch')}; stat -c "%a %u %g" /scratch; df -k /scratch | tail -n 1 | tr -s " " | cut -d" " -f2`,
    [
      {
        destination: '/scratch',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'mode=1700', 'uid=5', 'gid=6', 'size=2m'],
      },
    ],
    /^\/scratch rw,nosuid,relatime\n1700 5 6\n2048\n$/,
  ],
  [
    'a tmpfs keeps the mode of what it covers',
    'stat -c %a /tmp',
    [{ destination: '/tmp', type: 'tmpfs', source: 'tmpfs' }],
    /^1777\n$/,
  ],
  [
    'in their order: a later one covers',
    'ls /a',
    [
      { destination: '/a', source: 'data', options: ['rbind'] },
      { destination: '/a', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/a/b', source: 'data', options: ['rbind'] },
    ],
    /^b\n$/,
  ],
  [
    'a target that is a link inside the root',
    'cat /real/file; readlink /link',
    [{ destination: '/link', source: 'data', options: ['rbind'] }],
    /^content\n\/real\n$/,
  ],
];

async function prepared(): Promise<Bundle> {
  const folder = await bundle();
  const data = join(folder.path, 'data');
  await mkdir(data);
  await writeFile(join(data, 'file'), 'content\n');
  await writeFile(join(data, 'program'), '#!/bin/sh\necho ran\n');
  await chmod(join(data, 'program'), 0o755);
  await mkdir(join(folder.rootfs, 'real'));
  await symlink('/real', join(folder.rootfs, 'link'));
  return folder;
}

describe('mounts of a bundle', () => {
  test.for(CASES)('%s', async ([, script, mounts, expected]) => {
    await using folder = await prepared();
    const config = configOf(script);
    config.mounts.push(...mounts);
    const { ours, runc } = await folder.both(config);
    expect(ours).toMatch(expected);
    // runc leaves the mode of a tmpfs to what it covers, whatever is asked.
    expect(ours.replace(/^1700/m, '755')).toBe(runc);
  });

  test('what the default mounts of a bundle are', async () => {
    await using folder = await prepared();
    const list = 'cut -d" " -f5,6,9- /proc/self/mountinfo | grep -E "^/(proc|dev|sys)"';
    const { ours, runc } = await folder.both(configOf(list));
    // The masks are the null device of another tmpfs, and empty folders of one superblock.
    const kernels = (text: string) =>
      text.split('\n').filter((line) => !/kcore|keys|firmware|scsi/.test(line));
    const options = (text: string) => kernels(text).map((line) => line.replace(/,inode64/, ''));
    const names = (text: string) => options(text).map((line) => line.split(' ')[0]);
    expect(names(ours)).toEqual(names(runc));
    expect(ours).toMatch(/^\/sys ro,nosuid,nodev,noexec/m);
    expect(ours).toMatch(/^\/proc\/sys ro/m);
  });

  test('devices in /dev are those of the spec', async () => {
    await using folder = await prepared();
    const list =
      'cd /dev; stat -c "%n %F %t %T %a" null zero full random urandom tty; ' +
      'for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done';
    const { ours, runc } = await folder.both(configOf(list));
    expect(ours).toContain('null character special file 1 3 666');
    expect(ours).toBe(runc);
  });

  test.for([true, false])('root.readonly: %s', async (readonly) => {
    await using folder = await prepared();
    const config = configOf('touch /here 2>/dev/null && echo written || echo refused');
    config.root.readonly = readonly;
    const { ours, runc } = await folder.both(config);
    expect(ours).toBe(readonly ? 'refused\n' : 'written\n');
    expect(ours).toBe(runc);
  });

  test.for(['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'])(
    'a bind is %s',
    async (propagation) => {
      await using folder = await prepared();
      const config = configOf('grep " /data " /proc/self/mountinfo | cut -d" " -f7');
      const options = ['rbind', propagation];
      config.mounts.push({ destination: '/data', source: 'data', options });
      await folder.write(config);
      const { stdout } = await folder.run();
      const shared = propagation.endsWith('shared');
      // The machine's own mounts may be private: then there is no master to follow.
      expect(stdout).toMatch(shared ? /^(master:\d+|shared:\d+)/ : /^(-|master:\d+)\n/);
      if (propagation.endsWith('private')) expect(stdout).toBe('-\n');
    },
  );

  test('a source that is not there is said by name', async () => {
    await using folder = await prepared();
    const config = configOf('true');
    config.mounts.push({ destination: '/x', source: '/no/such/source', options: ['bind'] });
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'bindSource', errno: 'ENOENT', path: '/no/such/source' },
    });
  });

  test.for<[Mount, string]>([
    [{ destination: '/x', type: 'ext4', source: '/dev/loop9' }, 'ERR_UNSUPPORTED'],
    [{ destination: '/x', source: 'data', options: ['rbind', 'idmap'] }, 'ERR_UNSUPPORTED'],
    [{ destination: '/x', source: 'data', options: ['bind', 'size=3'] }, 'ERR_INVALID_ARGUMENT'],
  ])('%j is refused: %s', async ([mount, code]) => {
    await using folder = await prepared();
    const config = configOf('true');
    config.mounts.push(mount);
    await folder.write(config);
    await expect(folder.run()).rejects.toMatchObject({ code });
  });

  test('/proc that is a link is no place for proc', async () => {
    await using folder = await prepared();
    await symlink('/tmp', join(folder.rootfs, 'proc'));
    await folder.write(configOf('true'));
    await expect(folder.run()).rejects.toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'mountTarget', path: '/proc' },
    });
  });
});
