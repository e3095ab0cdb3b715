import { checkName, invalid, quote } from '../errors/arguments.js';

/** `'unconfined'`, or the name of an AppArmor profile. */
export function parseAppArmor(value: unknown, option: string): string {
  const name = checkName(value, option);
  // One line of the kernel's: "exec NAME".
  if (!/^[\x21-\x7e]{1,255}$/.test(name)) {
    throw invalid(option, `must be the name of a profile, not ${quote(name)}`);
  }
  return name;
}

/** A label of SELinux: user, role, type, and a level where the policy has them. */
export function parseSelinux(value: unknown, option: string): string {
  const label = checkName(value, option);
  // It becomes an option of mounts: nothing that could end one. Only a level has commas.
  if (label.length > 255 || !/^[\w.-]+:[\w.-]+:[\w.-]+(:[\w.,:-]+)?$/.test(label)) {
    throw invalid(option, `must be user:role:type or user:role:type:level, not ${quote(label)}`);
  }
  return label;
}
