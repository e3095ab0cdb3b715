// Which labels of AppArmor and SELinux a container gets. Pure.
import { quote } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { SelinuxFacts } from '../host/selinux.js';

/** Taken where the machine has it loaded: docs/limits-and-isolation.md has its text. */
export const DEFAULT_PROFILE = 'caisson-default';

export interface LabelHost {
  /** Absent: there is no AppArmor. */
  readonly appArmor: AppArmorFacts | undefined;
  /** Absent: there is no SELinux. Read only when it is asked for. */
  readonly selinux: SelinuxFacts | undefined;
}

export interface AppArmorFacts {
  /** Undefined: this user may not know. */
  readonly profiles: ReadonlySet<string> | undefined;
}

/** Undefined: as the supervisor is. */
export function planAppArmor(
  asked: string | undefined,
  privileged: boolean,
  { appArmor }: Pick<LabelHost, 'appArmor'>,
  option = 'security.apparmor',
): string | undefined {
  if (asked === undefined) {
    const has = !privileged && appArmor?.profiles?.has(DEFAULT_PROFILE) === true;
    return has ? DEFAULT_PROFILE : undefined;
  }
  if (appArmor === undefined) {
    if (asked === 'unconfined') return undefined;
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: option, reason: 'AppArmor is not enabled on this machine' },
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

/** Undefined: as the supervisor is, or what a policy says of the file system. */
export function planSelinux(
  asked: string | undefined,
  option: string,
  host: Pick<LabelHost, 'selinux'>,
): string | undefined {
  if (asked === undefined || asked === 'unconfined') return undefined;
  const { selinux } = host;
  if (selinux === undefined) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: option, reason: 'SELinux is not enabled on this machine' },
      { hint: 'Boot with a kernel that has it (lsm=…,selinux) and a policy, or leave it out.' },
    );
  }
  if (!selinux.knows(asked)) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: `SELinux label ${quote(asked)}`, reason: 'the loaded policy does not know it' },
      {
        hint: 'Load a policy that does: sudo semodule -i … (container_t is in container-selinux).',
      },
    );
  }
  return asked;
}
