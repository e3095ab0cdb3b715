import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import type { ContainerOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { testRuntime } from '../helpers/runtime.js';

// Root with every capability there is inside, and no filter: what is left is the user namespace.
const { test } = needs('native', 'root');
const t = testRuntime();

const ids = [{ containerId: 0, hostId: 1_000_000, size: 65_536 }];
const security = { preset: 'privileged', userns: { uidMap: ids, gidMap: ids } } as const;
const run = (line: string, options: Partial<ContainerOptions> = {}) =>
  t.sh(line, { ...options, security });

test('files of others stay those of others', async () => {
  const source = join(t.store.root, '..', 'secret');
  await mkdir(source);
  await writeFile(join(source, 'file'), 'secret');
  await chmod(join(source, 'file'), 0o600);
  const look =
    'cat /b/file; chown 0 /b/file; chmod 777 /b/file; echo x > /b/new; ls -ln /b | grep -c 65534';
  const { stdout, stderr } = await run(look, {
    mounts: [{ type: 'bind', source, target: '/b' }],
  });
  expect(stdout).toBe('1\n');
  expect(stderr.match(/(Permission denied|not permitted|too large)/g)).toHaveLength(4);
});

test('no device node can be made, nor the machine set', async () => {
  const { stdout, stderr } = await run(
    'mknod /tmp/disk b 8 0; echo 1 > /proc/sys/kernel/sysrq; echo h > /proc/sysrq-trigger; ' +
      'echo x > /proc/sys/kernel/core_pattern; mount -t ext4 /dev/vda /mnt; dmesg >/dev/null; ' +
      'mkdir /tmp/s; mount -t securityfs x /tmp/s; echo end',
  );
  expect(stdout).toBe('end\n');
  expect(stderr.trim().split('\n').length).toBeGreaterThanOrEqual(6);
});

test('no id outside of the map can be taken on, nor another map made of it', async () => {
  const { stdout } = await run(
    'perl -e \'$> = 65536; print $> == 0 ? "no\\n" : "yes\\n"; $) = "65536 65536"; print $) =~ /65536/ ? "yes\\n" : "no\\n"\'; ' +
      'unshare -U sh -c "echo 0 65536 1 > /proc/\\$\\$/uid_map" 2>/dev/null && echo mapped || echo refused',
  );
  expect(stdout).toBe('no\nno\nrefused\n');
});
