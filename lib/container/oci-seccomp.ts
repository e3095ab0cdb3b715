// A seccomp plan → as the runtime-spec says it. Only for those who read a plan: the native part has its own form.
import type { OciSeccomp, OciSyscalls } from './oci-spec.js';
import { DEFAULT_PROFILE, STRICT_PROFILE } from './seccomp-default.js';
import {
  ARCHITECTURE_BITS,
  MACHINES,
  planProfile,
  type SeccompHost,
  type SeccompPlan,
  type SeccompProfilePlan,
  type SeccompRulePlan,
} from './seccomp-plan.js';
import { ACTIONS, OPERATORS, parseSeccompProfile, type SeccompAsked } from './seccomp-request.js';
import type { SeccompProfile } from './security-options.js';

/** `SECCOMP_RET_DATA`: the errno, where an action has one. */
const DATA = 0xffff;

const PROFILES = { default: DEFAULT_PROFILE, strict: STRICT_PROFILE } as const;

/** Undefined: no filter. */
export function ociSeccomp(
  seccomp: SeccompPlan,
  capabilities: readonly string[],
  host: SeccompHost,
): OciSeccomp | undefined {
  if (seccomp === 'unconfined') return undefined;
  const profile =
    typeof seccomp === 'string' ? expand(PROFILES[seccomp], capabilities, host) : seccomp;
  const own = MACHINES[host.arch]?.profile;
  const others = Object.entries(ARCHITECTURE_BITS).filter(
    ([name, bit]) => name !== own && (profile.architectures & bit) !== 0,
  );
  const { action, errnoRet } = actionOf(profile.defaultVerdict);
  return {
    defaultAction: action,
    ...(errnoRet === undefined ? {} : { defaultErrnoRet: errnoRet }),
    architectures: [...(own === undefined ? [] : [own]), ...others.map(([name]) => name)],
    syscalls: profile.rules.map(syscallsOf),
  };
}

/** Read when somebody first asks, and not again. */
const profiles = new Map<SeccompProfile, SeccompAsked>();

function expand(
  profile: SeccompProfile,
  capabilities: readonly string[],
  host: SeccompHost,
): SeccompProfilePlan {
  let asked = profiles.get(profile);
  if (asked === undefined) {
    asked = parseSeccompProfile(profile, 'seccomp');
    profiles.set(profile, asked);
  }
  return planProfile(asked, capabilities, host);
}

function syscallsOf({ names, verdict, args }: SeccompRulePlan): OciSyscalls {
  return {
    names,
    ...actionOf(verdict),
    ...(args.length === 0
      ? {}
      : {
          args: args.map(({ index, value, valueTwo, operator }) => ({
            index,
            value,
            valueTwo,
            op: OPERATORS[operator] ?? '',
          })),
        }),
  };
}

function actionOf(verdict: number): { action: string; errnoRet?: number } {
  const kind = verdict - (verdict & DATA);
  const found = Object.entries(ACTIONS).find(([, action]) => action.verdict === kind);
  if (found === undefined) throw new Error(`no action has the verdict ${verdict}`);
  const [action, { takesErrno }] = found;
  return takesErrno === true ? { action, errnoRet: verdict & DATA } : { action };
}
