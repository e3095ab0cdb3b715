import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAppArmor, parseSelinux } from '../../../lib/container/label-request.js';
import {
  planAppArmor,
  planSelinux,
  type AppArmorFacts,
} from '../../../lib/container/plan-label.js';
import { readAppArmor } from '../../../lib/host/apparmor.js';
import { readSelinux } from '../../../lib/host/selinux.js';

const unsupported = expect.objectContaining({
  code: 'ERR_UNSUPPORTED',
  hint: expect.any(String) as string,
}) as Error;

const plan = (
  asked: string | undefined,
  appArmor: AppArmorFacts | undefined,
  privileged = false,
): string | undefined => planAppArmor(asked, privileged, { appArmor });

const LOADED = { profiles: new Set(['caisson-default', 'docker-default']) };
/** An ordinary user does not see which. */
const UNSEEN = { profiles: undefined };

describe('AppArmor', () => {
  test('the default profile, where it is loaded', () => {
    expect(plan(undefined, LOADED)).toBe('caisson-default');
    expect(plan(undefined, LOADED, true)).toBeUndefined();
    for (const facts of [undefined, UNSEEN, { profiles: new Set(['docker-default']) }]) {
      expect(plan(undefined, facts)).toBeUndefined();
    }
  });

  test('what is asked for, or an error', () => {
    expect(plan('docker-default', LOADED)).toBe('docker-default');
    expect(plan('docker-default', UNSEEN)).toBe('docker-default');
    expect(() => plan('nonesuch', LOADED)).toThrow(unsupported);
    expect(() => plan('docker-default', undefined)).toThrow(unsupported);
  });

  test('unconfined may be said anywhere', () => {
    expect(plan('unconfined', undefined)).toBeUndefined();
    expect(plan('unconfined', LOADED)).toBe('unconfined');
  });

  test('a name is one line', () => {
    const option = 'security.apparmor';
    expect(parseAppArmor('unconfined_foo', option)).toBe('unconfined_foo');
    for (const name of ['', 'a b', 'a\nb', 'a\0', 'é', 'x'.repeat(256), 5, null]) {
      expect(() => parseAppArmor(name, option)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
  });

  test('as the machine says it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'caisson-apparmor-'));
    try {
      const [enabled, profiles] = [join(folder, 'enabled'), join(folder, 'profiles')];
      expect(readAppArmor(enabled, profiles)).toBeUndefined();
      await writeFile(enabled, 'N\n');
      expect(readAppArmor(enabled, profiles)).toBeUndefined();
      await writeFile(enabled, 'Y\n');
      expect(readAppArmor(enabled, profiles)).toEqual({ profiles: undefined });
      await writeFile(profiles, 'docker-default (enforce)\n/usr/bin/man (complain)\n');
      const names = readAppArmor(enabled, profiles)?.profiles;
      expect([names?.has('docker-default'), names?.has('/usr/bin/man')]).toEqual([true, true]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('SELinux', () => {
  const label = 'system_u:system_r:container_t:s0:c1,c2';
  const option = 'security.selinux';
  const knowing = (knows: boolean) => ({ selinux: { knows: () => knows } });

  test('what is asked for, or an error; unconfined may be said anywhere', () => {
    expect(planSelinux(undefined, option, knowing(true))).toBeUndefined();
    expect(planSelinux('unconfined', option, { selinux: undefined })).toBeUndefined();
    expect(planSelinux(label, option, knowing(true))).toBe(label);
    expect(() => planSelinux(label, option, knowing(false))).toThrow(unsupported);
    expect(() => planSelinux(label, option, { selinux: undefined })).toThrow(unsupported);
  });

  test('nobody looks for it unasked', () => {
    const host = {
      get selinux(): never {
        throw new Error('looked');
      },
    };
    expect(planSelinux(undefined, option, host)).toBeUndefined();
  });

  test('a label has three parts or four, and nothing that ends an option of a mount', () => {
    for (const good of [label, 'u:r:t', 'u:r:t:s0-s0:c0.c1023', 'root:a.b:c-d:s15:c0,c7.c9']) {
      expect(parseSelinux(good, option)).toBe(good);
    }
    const bad = ['', 'u:r', 'u:r:', 'u,x:r:t', 'u:r,x:t', 'u:r:t,ro', 'u:r:t:s0"', 'u:r:t:s0\n'];
    const more = ['u:r:t:s0 c1', 'u:r:t:s0\0', 'u:r:t:s0\\', 'u:r:té', `u:r:${'t'.repeat(252)}`];
    for (const name of [...bad, ...more, 5, null]) {
      expect(() => parseSelinux(name, option)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    }
  });

  test('as the machine says it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'caisson-selinux-'));
    try {
      const current = join(folder, 'current');
      const read = () => readSelinux(folder, current);
      expect(read()).toBeUndefined();
      await writeFile(join(folder, 'enforce'), '0');
      await writeFile(current, 'kernel\0');
      expect(read()).toBeUndefined();
      await writeFile(current, 'system_u:system_r:init_t:s0\0');
      // It is not there, or not for this user: then the kernel says it at the start.
      expect(read()?.knows(label)).toBe(true);
      await writeFile(join(folder, 'context'), '');
      expect(read()?.knows(label)).toBe(true);
      expect(await readFile(join(folder, 'context'), 'utf8')).toBe(label);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
