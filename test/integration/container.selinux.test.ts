// needs: SELinux with the policy of test/vm/selinux, which runs this; skipped everywhere else
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'vitest';
import { Container, type ContainerOptions, type SecurityOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();

const level = (categories: string) => ({
  selinux: `system_u:system_r:container_t:s0:${categories}`,
  mountLabel: `system_u:object_r:container_file_t:s0:${categories}`,
});
const labels = level('c1,c2');

async function inside(
  script: string,
  security: SecurityOptions,
  more: Partial<ContainerOptions> = {},
): Promise<string[]> {
  const options = { runtime: t.runtime, security, ...more };
  const { stdout, stderr } = await Container.run(t.image, ['sh', '-c', script], options);
  return (stdout + stderr).trim().split('\n');
}

describe.runIf(existsSync('/sys/fs/selinux/enforce'))('SELinux', () => {
  const CURRENT = "tr '\\0' '\\n' < /proc/self/attr/current";

  test('the label of its processes, and of what is run in it', async () => {
    const container = await t.sleeper({ security: labels });
    const { stdout } = await container.exec(['sh', '-c', `${CURRENT}; cat /proc/1/attr/current`]);
    expect(stdout.replaceAll('\0', '').trim().split('\n')).toEqual([
      labels.selinux,
      labels.selinux,
    ]);
    await container.remove({ force: true });
    expect(await inside(CURRENT, { selinux: labels.selinux })).toEqual([labels.selinux]);
    expect(await inside(CURRENT, {})).toEqual([expect.stringContaining(':kernel_t:')]);
  });

  test('the label of every file system that is made for it', async () => {
    const paths = [
      '/',
      '/etc/hosts',
      '/dev',
      '/dev/shm',
      '/dev/pts',
      '/dev/mqueue',
      '/fresh',
      '/new',
    ];
    const script = `touch /new; stat -c %C ${paths.join(' ')}`;
    const mounts = [{ type: 'tmpfs', target: '/fresh' }] as const;
    const found = await inside(script, labels, { mounts: [...mounts] });
    expect(found).toEqual(paths.map(() => labels.mountLabel));
    // Nothing of it stays with what the next ones get.
    const other = level('c3');
    expect(await inside('stat -c %C / /dev', other)).toEqual([other.mountLabel, other.mountLabel]);
    // What is another's stays as it is: /dev/shm and message queues.
    const peer = await t.sleeper();
    const ipc = `container:${peer.id}` as const;
    const shared = await inside('stat -c %C / /dev/shm /dev/mqueue', { ...labels, ipc });
    expect(shared.map((label) => label === labels.mountLabel)).toEqual([true, false, false]);
    await peer.remove({ force: true });
    const without = await inside(script, {}, { mounts: [...mounts] });
    expect(without.filter((label) => label.includes('container_file_t'))).toEqual([]);
  });

  test.runIf(!rootless)('in a user namespace of its own', async () => {
    const ids = [{ containerId: 0, hostId: 100_000, size: 65_536 }];
    const security = { ...labels, userns: { uidMap: ids, gidMap: ids } };
    const rootfs = await busyboxRootfs(join(t.store.root, '..', 'rootfs'));
    const image = await t.runtime.images.fromRootfs(rootfs);
    const script = `${CURRENT}; grep -F '"${labels.mountLabel}"' /proc/self/mountinfo`;
    const { stdout } = await Container.run(image, ['sh', '-c', script], {
      runtime: t.runtime,
      security,
    });
    const [current, ...mounts] = stdout.trim().split('\n');
    expect(current).toBe(labels.selinux);
    expect(mounts.map((line) => line.split(' ')[4])).toEqual(
      expect.arrayContaining(['/', '/dev', '/dev/pts', '/dev/shm', '/etc/hosts']),
    );
  });

  test('it counts: what is not its own cannot be written', async () => {
    await using outside = await tempFolder();
    const mounts = [{ type: 'bind', source: outside.path, target: '/outside' }] as const;
    const script = 'echo a > /own && cat /own; echo b > /outside/file';
    const [own, denied] = await inside(script, labels, { mounts: [...mounts] });
    expect(own).toBe('a');
    expect(denied).toContain('Permission denied');
    // Files of another level are another container's.
    const mixed = { selinux: labels.selinux, mountLabel: level('c3').mountLabel };
    expect((await inside('echo a > /own', mixed))[0]).toContain('Permission denied');
  });

  test('a type that the policy does not know', async () => {
    for (const key of ['selinux', 'mountLabel'] as const) {
      const security = { [key]: 'system_u:system_r:nonesuch_t:s0' };
      expect(await rejection(inside('true', security))).toMatchObject({
        code: 'ERR_UNSUPPORTED',
        hint: expect.any(String) as string,
      });
    }
  });
});
