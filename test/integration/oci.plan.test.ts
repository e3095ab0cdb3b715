// A container's own plan, written to a bundle: the one-shot form of launch and runc make of it what caisson makes of it.
import { join } from 'node:path';
import { expect } from 'vitest';

import { supervisedOf } from '../../lib/container/registry.js';
import { Container, Image, type ContainerOptions } from '../../lib/index.js';
import { writeBundle } from '../../lib/oci/write-bundle.js';
import { partsOf } from '../../lib/runtime/runtime.js';
import { bundle } from '../helpers/bundle.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('root', 'native', 'busybox', 'runc');
const host = testRuntime();

/** What a process can see of how it was started. */
const LOOK = `
id -u; id -g; pwd; hostname; umask; ulimit -n; ulimit -Hn; env | sort
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
cat /etc/hostname /etc/hosts /etc/resolv.conf
cut -d' ' -f5,6 /proc/self/mountinfo | grep -vE '^/ ' | sort
ls -l /dev | tr -s ' ' | cut -d' ' -f1,3,4,5,6,10-
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/self/oom_score_adj
mount -t tmpfs x /tmp 2>&1; unshare -U true 2>&1; mkdir /x 2>&1 && rmdir /x
head -c 1 /proc/kcore 2>&1 | wc -c; ls /sys/firmware | wc -l; touch /proc/sys/kernel/x 2>&1; true
`;

const CASES: readonly [string, Partial<ContainerOptions>][] = [
  ['as it is by default', {}],
  [
    'with much asked for',
    {
      cwd: '/home/app',
      user: '1000:1000',
      env: { A: 'b' },
      extraHosts: { db: '10.0.0.7' },
      mounts: [{ type: 'tmpfs', target: '/scratch', sizeBytes: '1MiB' }],
      limits: { memoryBytes: '64MiB', pids: 50, cpus: 1, oomScoreAdj: 100 },
      security: {
        capAdd: ['NET_ADMIN'],
        capDrop: ['KILL', 'CHOWN'],
        noNewPrivileges: true,
        readOnlyRootfs: true,
        sysctls: { 'kernel.msgmax': '9000' },
        ulimits: { nofile: { soft: 100, hard: 200 }, core: 0 },
        groupAdd: ['2000'],
      },
    },
  ],
  ['strict', { security: 'strict' }],
];

describe('the plan of a container in a bundle', () => {
  test.for(CASES)('%s', async ([, options]) => {
    await using rootfs = await tempFolder();
    await busyboxRootfs(rootfs.path);
    const image = await Image.fromRootfs(rootfs.path, {}, { runtime: host.runtime });
    const argv = ['sh', '-c', LOOK];
    await using container = await Container.create({
      ...{ image, argv, runtime: host.runtime, name: 'planned', hostname: 'planned' },
      ...options,
    });
    const ran = await Container.run(image, argv, {
      ...{ runtime: host.runtime, hostname: 'planned' },
      ...(options as object),
    });

    await using folder = await bundle();
    const { plan } = supervisedOf(await partsOf(host.runtime, 'test')).get(container.id)!;
    const { spec } = await container.inspect();
    await writeBundle(folder.path, {
      plan,
      spec,
      rootfs: 'rootfs',
      cgroupsPath: folder.cgroupsPath,
    });
    const ours = await folder.run();
    expect(ours.end).toEqual({ exitCode: ran.exitCode, signal: null });
    expect(withoutGroups(ours.stdout)).toBe(withoutGroups(ran.stdout));
    expect(ours.stderr).toBe(ran.stderr);
    expect(comparable((await folder.runc()).stdout)).toBe(comparable(ours.stdout));
  });

  test.for<[string, Partial<ContainerOptions>]>([
    ['a user by name', { user: 'app' }],
    ['a group by name', { security: { groupAdd: ['extra'] } }],
  ])('%s is more than a bundle can say', async ([, options]) => {
    await using rootfs = await tempFolder();
    await busyboxRootfs(rootfs.path);
    const image = await Image.fromRootfs(rootfs.path, {}, { runtime: host.runtime });
    await using container = await Container.create({
      ...{ image, argv: ['true'], runtime: host.runtime },
      ...options,
    });
    const { plan } = supervisedOf(await partsOf(host.runtime, 'test')).get(container.id)!;
    const { spec } = await container.inspect();
    const content = { plan, spec, rootfs: '/' };
    await expect(writeBundle(join(rootfs.path, 'b'), content)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });
});

/** A container is in the hierarchies that limit it, a bundle in all. */
const withoutGroups = (text: string): string => text.replace(/^\/sys\/fs\/cgroup\/.*\n/gm, '');

/** Without what docs/oci.md names as different: how masks and the cgroup hierarchies are mounted, /dev/core. */
function comparable(text: string): string {
  const different = /^\/proc\/(?!bus|fs|irq|sys)\w|^\/sys\/(firmware|fs|devices)|kcore$|^total/;
  return text
    .split('\n')
    .filter((line) => !different.test(line))
    .join('\n');
}
