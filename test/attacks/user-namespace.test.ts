import { appendFile, chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { Container, Image, type ContainerOptions, type ExecResult } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { testRuntime } from '../helpers/runtime.js';
import { fileFolder } from '../helpers/temp.js';

// Root with every capability there is inside, and no filter: what is left is the user namespace.
const { test } = needs('native', 'root', 'busybox');
const t = testRuntime();

const ids = [{ containerId: 0, hostId: 1_000_000, size: 65_536 }];
const security = { preset: 'privileged', userns: { uidMap: ids, gidMap: ids } } as const;

const rootfs = fileFolder('rootfs');
beforeAll(async () => {
  await busyboxRootfs(rootfs);
  const [last, next] = [65_535, 65_536].map((id) => `u${id}:x:${id}:${id}::/:/bin/sh\n`);
  await appendFile(join(rootfs, 'etc/passwd'), `${last}${next}`);
});

async function run(line: string, options: Partial<ContainerOptions> = {}): Promise<ExecResult> {
  const { runtime } = t;
  const image = await Image.fromRootfs(rootfs, {}, { runtime });
  const { image: _, argv: __, ...more } = options as ContainerOptions;
  return await Container.run(image, ['sh', '-c', line], { runtime, ...more, security });
}

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
  // What is refused for the next id is done for the last: not for another reason.
  const { stdout } = await run(`for id in 65535 65536; do exec 2>/dev/null
  su u$id -c 'id -u' || echo refused
  chown $id /tmp && echo owned || echo refused
  unshare -U sleep 100 & until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/1/ns/user)" ]; do :; done
  echo 0 $id 1 > /proc/$!/uid_map && echo mapped || echo refused
done; exit 0`);
  expect(stdout.trim().split('\n')).toEqual([
    ...['65535', 'owned', 'mapped'],
    ...['refused', 'refused', 'refused'],
  ]);
});
