import { existsSync, readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect } from 'vitest';

import { Container, Image, type ContainerOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, testRuntime } from '../helpers/runtime.js';

const { describe, test } = needs('native', 'root', 'busybox');
const t = testRuntime();

const BASE = 1_000_000;
/** What is no mount with mapped ids: a machine inside another's container has nothing else. */
const OVERLAY = 0x794c7630;
const userns = {
  uidMap: [{ containerId: 0, hostId: BASE, size: 65_536 }],
  gidMap: [{ containerId: 0, hostId: BASE + 65_536, size: 65_536 }],
};
const MAPPED = { security: { userns } } satisfies Partial<ContainerOptions>;

let image: Image;
beforeEach(async () => {
  const rootfs = await busyboxRootfs(join(t.store.root, '..', 'rootfs'));
  await chmod(join(rootfs, 'bin/busybox'), 0o755);
  await mkdir(join(rootfs, 'data'));
  await writeFile(join(rootfs, 'data/mine'), 'app');
  await chown(join(rootfs, 'data/mine'), 1000, 1000);
  await chmod(join(rootfs, 'data/mine'), 0o600);
  image = await t.runtime.images.fromRootfs(rootfs);
});

const run = async (line: string, options: Partial<ContainerOptions> = {}) => {
  const { image: _, argv: __, ...more } = options as ContainerOptions;
  const security = { ...MAPPED.security, ...(more.security as object | undefined) };
  const argv = ['sh', '-c', line];
  return await Container.run(image, argv, { runtime: t.runtime, ...more, security });
};
const start = (options: Partial<ContainerOptions> = {}) =>
  Container.start({
    image,
    runtime: t.runtime,
    argv: ['sleep', 'infinity'],
    ...options,
    security: { ...MAPPED.security, ...(options.security as object | undefined) },
  });

describe('a user namespace of its own', () => {
  test('root inside is somebody else outside; the image is as it was', async () => {
    const { stdout, stderr, exitCode } = await run(
      'id -u; cat /proc/self/uid_map /proc/self/gid_map; stat -c "%u %g %n" / /bin/busybox /data/mine /dev /dev/null /etc/hosts /proc; ' +
        'touch /root/x && stat -c "%u:%g" /root/x; ls /proc/1/ns >/dev/null && echo ok',
    );
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    expect(stdout.replaceAll(/ +/g, ' ').split('\n')).toEqual([
      '0',
      ' 0 1000000 65536',
      ' 0 1065536 65536',
      '0 0 /',
      '0 0 /bin/busybox',
      '1000 1000 /data/mine',
      '0 0 /dev',
      '0 0 /dev/null',
      '0 0 /etc/hosts',
      '65534 65534 /proc', // the machine's, as everywhere
      '0:0',
      'ok',
      '',
    ]);
  });

  test('its processes, files and namespaces belong to that one', async () => {
    await using box = await start();
    const { pid, spec } = await box.inspect();
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Uid:\t1000000\t1000000/m);
    expect(readlinkSync(`/proc/${pid}/ns/user`)).not.toBe(readlinkSync('/proc/self/ns/user'));
    expect(spec.linux.namespaces).toContainEqual({ type: 'user' });
    expect(spec.linux.uidMappings).toEqual([{ containerID: 0, hostID: BASE, size: 65_536 }]);
    await box.exec(['sh', '-c', 'echo x > /root/x; chown 1000:1000 /root/x']);
    const upper = join(t.store.root, 'containers', box.id, 'upper');
    expect(statSync(join(upper, 'root/x'))).toMatchObject({ uid: BASE + 1000, gid: BASE + 66_536 });
    const { stdout } = await box.exec(
      [
        'sh',
        '-c',
        'id; readlink /proc/self/ns/user; readlink /proc/1/ns/user; hostname other; hostname',
      ],
      { privileged: true },
    );
    const [id, own, first, name] = stdout.split('\n');
    expect(id).toMatch(/^uid=0\(root\) gid=0\(root\)/);
    expect(own).toBe(first);
    expect(name).toBe('other');
  });

  test('users by name and number, at start and exec; an id that is not mapped', async () => {
    expect((await run('id -u; cat /data/mine', { user: 'app' })).stdout).toBe('1000\napp');
    await using box = await start({ user: '1000:1000' });
    expect((await box.exec(['cat', '/data/mine'])).stdout).toBe('app');
    expect((await box.exec(['id', '-u'], { user: 'nobody' })).stdout).toBe('65534\n');
    expect(await rejection(start({ user: '70000' }))).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    expect(await rejection(box.exec(['id'], { user: '70000' }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });

  test('what it wrote is there at the next start', async () => {
    await using box = await start();
    await box.exec(['sh', '-c', 'echo x > /root/x; rm /data/mine; mkdir /data/new']);
    await box.stop({ graceMs: 0 });
    await box.start();
    expect(
      (await box.exec(['sh', '-c', 'cat /root/x; ls /data; stat -c %u /data/new'])).stdout,
    ).toBe('x\nnew\n0\n');
  });

  test('stdio by its path, a terminal, OOM score, signals', async () => {
    expect((await run('echo x > /dev/stdout; echo y > /dev/stderr')).stdout).toBe('x\n');
    await using box = await start({ limits: { oomScoreAdj: 300 }, tty: true });
    expect((await box.exec(['sh', '-c', 'echo z > /dev/stdout'])).stdout).toBe('z\n');
    expect(
      (await box.exec(['cat', '/proc/self/oom_score_adj', '/proc/1/oom_score_adj'])).stdout,
    ).toBe('300\n300\n');
    const shell = await box.spawn(['sh', '-c', 'tty; stty size'], { tty: true });
    let text = '';
    shell.stdout.on('data', (bytes: Buffer) => (text += String(bytes)));
    await shell.exited;
    expect(text).toMatch(/^\/dev\/pts\/\d\r\n24 80\r\n/);
    expect(await box.stop({ graceMs: 0 })).toMatchObject({ signal: 'SIGKILL' });
  });

  test("the machine's own programs", async () => {
    const argv = ['sh', '-c', 'stat -c "%u" /usr/bin/env; echo x > /tmp/x; stat -c %u /tmp/x'];
    const options = { runtime: t.runtime, ...MAPPED };
    if (statfsSync('/usr').type === OVERLAY) {
      expect(await rejection(Container.run(t.image, argv, options))).toMatchObject({
        code: 'ERR_UNSUPPORTED',
      });
      return;
    }
    expect((await Container.run(t.image, argv, options)).stdout).toBe('0\n0\n');
    const writable = Image.host({ writable: ['/usr'] });
    const write = ['sh', '-c', 'touch /usr/x; stat -c %u /usr/x'];
    expect((await Container.run(writable, write, options)).stdout).toBe('0\n');
    expect(existsSync('/usr/x')).toBe(false);
  });

  test('a bind: as it is, or with its ids as inside', async () => {
    const source = join(t.store.root, '..', 'bound');
    await mkdir(source);
    await writeFile(join(source, 'file'), 'x');
    const look = 'stat -c "%u" /b/file; touch /b/new 2>/dev/null && stat -c %u /b/new';
    const mount = { type: 'bind', source, target: '/b' } as const;
    expect((await run(look, { mounts: [mount] })).stdout).toBe('65534\n');
    const mapped = { mounts: [{ ...mount, idmap: true }] };
    expect((await run(look, mapped)).stdout).toBe('0\n0\n');
    expect(statSync(join(source, 'new'))).toMatchObject({ uid: 0, gid: 0 });
    // Where the ids are the machine's, there is nothing to map.
    const plain = await Container.run(image, ['stat', '-c', '%u', '/b/file'], {
      runtime: t.runtime,
      ...mapped,
    });
    expect(plain.stdout).toBe('0\n');
    const unmappable = { type: 'bind', source: '/proc', target: '/b', idmap: true } as const;
    expect(await rejection(run('true', { mounts: [unmappable] }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { what: expect.stringContaining('/b') as string },
    });
  });

  test('devices, privileges and a read-only root', async () => {
    const security = { devices: ['/dev/fuse'], readOnlyRootfs: true };
    const { stdout } = await run(
      'ls /dev/fuse; (: > /x) 2>&1; mknod /dev/x c 1 3 2>&1; echo x > /dev/null && head -c1 /dev/zero | wc -c',
      { security },
    );
    expect(stdout).toMatch(/^\/dev\/fuse\n.*Read-only.*\nmknod: .*not permitted\n1\n$/s);
    const all = await run('mount -t tmpfs x /tmp && ls /sys/fs/cgroup >/dev/null && echo ok', {
      security: { preset: 'privileged' },
    });
    expect(all).toMatchObject({ stdout: 'ok\n', stderr: '' });
  });

  test('sysctls of its network, ports, ping', async () => {
    const security = { sysctls: { 'net.ipv4.ip_forward': '1' } };
    const look =
      'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range; ping -c1 127.0.0.1 >/dev/null && echo up';
    expect((await run(look, { security })).stdout).toBe('1\n0\t65535\nup\n');
  });

  test('what cannot be had with it', async () => {
    expect(await rejection(start({ networks: 'host' }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'networks' },
    });
    const timeOffsets = { monotonic: { secs: 1 } };
    expect(await rejection(start({ security: { timeOffsets } }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });
});
