import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'vitest';

import { needs } from '../../helpers/needs.js';
import { busyboxRootfs, trueRootfs } from '../../helpers/rootfs.js';
import { tempFolder } from '../../helpers/temp.js';

const { test } = needs('busybox', 'compiler', 'userns');

const inside = (root: string, ...argv: string[]): string =>
  execFileSync('unshare', ['--user', '--map-root-user', 'chroot', root, ...argv], {
    encoding: 'utf8',
    env: { PATH: '/bin:/usr/bin:/usr/sbin:/sbin' },
  });

test('a busybox root runs a shell and knows its users', async () => {
  await using folder = await tempFolder();
  await busyboxRootfs(folder.path);
  expect(inside(folder.path, '/bin/sh', '-c', 'cat /etc/group | grep extra')).toBe(
    'extra:x:2000:app\n',
  );
});

test('the smallest root has one program', async () => {
  await using folder = await tempFolder();
  await trueRootfs(join(folder.path, 'root'));
  expect(inside(join(folder.path, 'root'), '/true')).toBe('');
});
