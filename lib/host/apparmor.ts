import { readFileSync } from 'node:fs';

const ENABLED = '/sys/module/apparmor/parameters/enabled';
const PROFILES = '/sys/kernel/security/apparmor/profiles';

/** What AppArmor there is; undefined: none. Only root may know which profiles are loaded. */
export function readAppArmor(
  enabled = ENABLED,
  profiles = PROFILES,
): { readonly profiles: ReadonlySet<string> | undefined } | undefined {
  if (read(enabled)?.trim() !== 'Y') return undefined;
  // "name (mode)", a line each.
  const names = read(profiles)
    ?.split('\n')
    .map((line) => line.replace(/ \([a-z]+\)$/, ''));
  return { profiles: names === undefined ? undefined : new Set(names) };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
