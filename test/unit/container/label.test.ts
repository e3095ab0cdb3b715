import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAppArmor } from '../../../lib/container/label-request.js';
import { planAppArmor, type AppArmorFacts } from '../../../lib/container/plan-label.js';
import { readAppArmor } from '../../../lib/host/apparmor.js';

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
    expect(parseAppArmor('unconfined_foo')).toBe('unconfined_foo');
    for (const name of ['', 'a b', 'a\nb', 'a\0', 'é', 'x'.repeat(256), 5, null]) {
      expect(() => parseAppArmor(name)).toThrow(
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
