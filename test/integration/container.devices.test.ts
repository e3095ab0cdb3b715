// needs: the native part; root or user namespaces
import { chmod, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { Container, type Mount, type SecurityOptions } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns');
const t = testRuntime();

async function inside(
  script: string,
  security: SecurityOptions | 'privileged',
  mounts: Mount[] = [],
): Promise<string> {
  const { stdout, stderr } = await Container.run(t.image, ['sh', '-c', script], {
    runtime: t.runtime,
    security,
    mounts,
  });
  return stdout + stderr;
}

/** What only the full device says. */
const FULL = /No space left/;

describe('devices', () => {
  test('are made by other names, in /dev and elsewhere, and can be used', async () => {
    const devices = ['/dev/full:/dev/a/b/one', { hostPath: '/dev/full', path: '/elsewhere/two' }];
    for (const path of ['/dev/a/b/one', '/elsewhere/two']) {
      expect(await inside(`test -c ${path} && cat /etc/hostname > ${path}`, { devices })).toMatch(
        FULL,
      );
    }
  });

  test('look like the host’s', async () => {
    const { mode } = await lstat('/dev/full');
    const said = await inside('stat -c "%t:%T %a" /dev/mine', { devices: ['/dev/full:/dev/mine'] });
    expect(said).toBe(`1:7 ${(mode & 0o777).toString(8)}\n`);
  });

  test('one that is not there', async () => {
    const call = inside('true', { devices: ['/dev/nonesuch'] });
    expect(await rejection(call)).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'security.devices[0]' },
    });
    expect(await rejection(inside('true', { devices: ['/etc'] }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
  });

  test('no node is left in a folder of the host that is mounted there', async () => {
    await using folder = await tempFolder();
    await chmod(folder.path, 0o777);
    const mounts: Mount[] = [{ type: 'bind', source: folder.path, target: '/data' }];
    const script = 'test -c /data/full && cat /etc/hostname > /data/full';
    expect(await inside(script, { devices: ['/dev/full:/data/full'] }, mounts)).toMatch(FULL);
    for (const name of await readdir(folder.path)) {
      expect((await lstat(join(folder.path, name))).isCharacterDevice()).toBe(false);
    }
  });
});

// A container without them is refused or has no MKNOD: test/unit/container.
describe.skipIf(rootless)('the device cgroup', () => {
  test('a node that is made inside cannot be used, whoever makes it', async () => {
    await using box = await t.sleeper();
    const script = 'mknod /dev/own c 10 237 && echo made; cat < /dev/own';
    for (const options of [{}, { user: '0:0' }]) {
      const { stdout, stderr } = await box.exec(['sh', '-c', `rm -f /dev/own; ${script}`], options);
      expect(stdout).toBe('made\n');
      expect(stderr).toMatch(/not permitted/);
    }
    expect(await inside(script, {})).toMatch(/made\n.*not permitted/);
  });

  test('gives what was asked for, and no more', async () => {
    const script = ': < /dev/loop-control && echo read; : > /dev/loop-control && echo written';
    expect(await inside(script, { devices: ['/dev/loop-control'] })).toBe('read\nwritten\n');
    const less = await inside(script, { devices: ['/dev/loop-control:r'] });
    expect(less).toMatch(/^read\n.*not permitted/);
  });
});

describe('privileged', () => {
  test.skipIf(rootless)('has every device of this machine', async () => {
    const names = (await readdir('/dev')).filter((name) => /^(loop|tty|vd|sd|kmsg|mem)/.test(name));
    expect(names.length).toBeGreaterThan(10);
    const said = await inside(
      'ls /dev; head -c 1 /dev/loop-control; head -c 1 /dev/zero | wc -c',
      'privileged',
    );
    for (const name of names) expect(said).toContain(`${name}\n`);
    // Opened, and answered by the driver.
    expect(said).toMatch(/Invalid argument/);
  });

  test.runIf(rootless)('has what this user may open', async () => {
    const said = await inside('ls /dev', 'privileged');
    expect(said).not.toContain('loop-control\n');
    expect(said).toContain('null\n');
  });
});

test.runIf(rootless)('what this user may not open is said', async () => {
  expect(await rejection(inside('true', { devices: ['/dev/loop-control'] }))).toMatchObject({
    code: 'ERR_UNSUPPORTED',
    hint: expect.stringContaining('usermod') as string,
  });
});
