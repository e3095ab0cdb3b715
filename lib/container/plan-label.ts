// Which AppArmor profile a container's processes get. Pure.
import { quote } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';

/** Taken where the machine has it loaded: docs/limits-and-isolation.md has its text. */
export const DEFAULT_PROFILE = 'caisson-default';

export interface LabelHost {
  /** Absent: there is no AppArmor. */
  readonly appArmor: AppArmorFacts | undefined;
}

export interface AppArmorFacts {
  /** Undefined: this user may not know. */
  readonly profiles: ReadonlySet<string> | undefined;
}

/** Undefined: as the supervisor is. */
export function planAppArmor(
  asked: string | undefined,
  privileged: boolean,
  { appArmor }: LabelHost,
): string | undefined {
  if (asked === undefined) {
    const has = !privileged && appArmor?.profiles?.has(DEFAULT_PROFILE) === true;
    return has ? DEFAULT_PROFILE : undefined;
  }
  if (appArmor === undefined) {
    if (asked === 'unconfined') return undefined;
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: 'security.apparmor', reason: 'AppArmor is not enabled on this machine' },
      { hint: 'Boot with a kernel that has it (lsm=…,apparmor), or leave the option out.' },
    );
  }
  if (asked !== 'unconfined' && appArmor.profiles?.has(asked) === false) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: `AppArmor profile ${quote(asked)}`, reason: 'it is not loaded on this machine' },
      { hint: 'Load it: sudo apparmor_parser -r /etc/apparmor.d/…' },
    );
  }
  return asked;
}
