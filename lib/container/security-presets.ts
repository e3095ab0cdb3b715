// What each preset says; single options stand over it. Frozen, and one object each: see defaults.ts.
import { DEFAULT_CAPABILITIES, EVERY_CAPABILITY, type CapabilityName } from './capabilities.js';
import type { SeccompWord } from './seccomp-request.js';

export const PRESETS = ['default', 'strict', 'privileged'] as const;
export type PresetName = (typeof PRESETS)[number];

export interface Preset {
  readonly capabilities: readonly CapabilityName[];
  readonly noNewPrivileges: boolean;
  readonly seccomp: SeccompWord;
  /** Absent: Docker's list. */
  readonly maskedPaths: readonly string[] | undefined;
  readonly readOnlyPaths: readonly string[] | undefined;
  /** /sys, cgroups and /dev are those of the machine, to be written to. */
  readonly privileged: boolean;
}

const NONE: readonly never[] = Object.freeze([]);

const TABLE: Readonly<Record<PresetName, Preset>> = {
  default: {
    capabilities: DEFAULT_CAPABILITIES,
    noNewPrivileges: false,
    seccomp: 'default',
    maskedPaths: undefined,
    readOnlyPaths: undefined,
    privileged: false,
  },
  // As the "restricted" standard of Kubernetes: no capability at all, no way to get one, and no call
  // but the machine's own. The root stays writable: what is written there is the container's alone.
  strict: {
    capabilities: NONE,
    noNewPrivileges: true,
    seccomp: 'strict',
    maskedPaths: undefined,
    readOnlyPaths: undefined,
    privileged: false,
  },
  privileged: {
    capabilities: EVERY_CAPABILITY,
    noNewPrivileges: false,
    seccomp: 'unconfined',
    maskedPaths: NONE,
    readOnlyPaths: NONE,
    privileged: true,
  },
};

export const presetOf = (name: PresetName): Preset => TABLE[name];
