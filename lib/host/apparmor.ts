import { readText } from './look.js';

const ENABLED = '/sys/module/apparmor/parameters/enabled';
const PROFILES = '/sys/kernel/security/apparmor/profiles';

/** What AppArmor there is; undefined: none. Only root may know which profiles are loaded. */
export function readAppArmor(
  enabled = ENABLED,
  profiles = PROFILES,
): { readonly profiles: ReadonlySet<string> | undefined } | undefined {
  if (readText(enabled)?.trim() !== 'Y') return undefined;
  // "name (mode)", a line each.
  const names = readText(profiles)
    ?.split('\n')
    .map((line) => line.replace(/ \([a-z]+\)$/, ''));
  return { profiles: names === undefined ? undefined : new Set(names) };
}
