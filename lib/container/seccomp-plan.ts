// What a profile is about on this machine and for these capabilities: Docker's reading of `includes`,
// `excludes` and `archMap`. Pure.
import type { SeccompArg, SeccompAsked, SeccompWhen, SeccompWord } from './seccomp-request.js';

export type SeccompPlan = SeccompWord | SeccompProfilePlan;

export interface SeccompProfilePlan {
  readonly defaultVerdict: number;
  /** Bits of `seccomp::Architecture`. */
  readonly architectures: number;
  readonly rules: readonly SeccompRulePlan[];
}

export interface SeccompRulePlan {
  readonly names: readonly string[];
  readonly verdict: number;
  readonly args: readonly SeccompArg[];
}

export interface SeccompHost {
  /** `process.arch`. */
  readonly arch: string;
  /** Of the running kernel, such as `6.1.0-37-amd64`. */
  readonly release: string;
}

/** Those that a machine of ours can run; a profile may name every other one. */
export const ARCHITECTURE_BITS: Readonly<Record<string, number>> = {
  SCMP_ARCH_X86_64: 1,
  SCMP_ARCH_X32: 2,
  SCMP_ARCH_X86: 4,
  SCMP_ARCH_AARCH64: 8,
  SCMP_ARCH_ARM: 16,
};

export const MACHINES: Readonly<
  Record<string, { readonly docker: string; readonly profile: string }>
> = {
  x64: { docker: 'amd64', profile: 'SCMP_ARCH_X86_64' },
  arm64: { docker: 'arm64', profile: 'SCMP_ARCH_AARCH64' },
};

export function planSeccomp(
  asked: SeccompWord | SeccompAsked,
  capabilities: readonly string[],
  host: SeccompHost,
): SeccompPlan {
  return typeof asked === 'string' ? asked : planProfile(asked, capabilities, host);
}

export function planProfile(
  asked: SeccompAsked,
  capabilities: readonly string[],
  host: SeccompHost,
): SeccompProfilePlan {
  const machine = MACHINES[host.arch] ?? { docker: host.arch, profile: '' };
  const kernel = kernelOf(host.release);
  const names = [...asked.architectures, ...(asked.subArchitectures.get(machine.profile) ?? [])];
  const applies = ({ caps, arches, minKernel }: SeccompWhen) => ({
    caps: caps.map((name) => capabilities.includes(name)),
    arch: arches.length === 0 ? undefined : arches.includes(machine.docker),
    kernel: minKernel === undefined ? undefined : !isOlder(kernel, minKernel),
  });
  const rules = asked.rules.filter(({ includes, excludes }) => {
    const needed = applies(includes);
    const barred = applies(excludes);
    return (
      needed.caps.every(Boolean) &&
      needed.arch !== false &&
      needed.kernel !== false &&
      !barred.caps.some(Boolean) &&
      barred.arch !== true &&
      barred.kernel !== true
    );
  });
  return Object.freeze({
    defaultVerdict: asked.defaultVerdict,
    architectures: names.reduce((bits, name) => bits | (ARCHITECTURE_BITS[name] ?? 0), 0),
    rules: rules.map(({ names: calls, verdict, args }) => ({ names: calls, verdict, args })),
  });
}

function kernelOf(release: string): readonly [number, number] {
  const match = /^(\d+)\.(\d+)/.exec(release);
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
}

const isOlder = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
