import { checkName, invalid, quote } from '../errors/arguments.js';

/** `'unconfined'`, or the name of an AppArmor profile. */
export function parseAppArmor(value: unknown): string {
  const name = checkName(value, 'security.apparmor');
  // One line of the kernel's: "exec NAME".
  if (!/^[\x21-\x7e]{1,255}$/.test(name)) {
    throw invalid('security.apparmor', `must be the name of a profile, not ${quote(name)}`);
  }
  return name;
}
