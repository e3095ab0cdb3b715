import {
  checkArray,
  checkAbsolutePath,
  checkBag,
  checkBoolean,
  checkInteger,
  checkOneOf,
  invalid,
  kindOf,
  type Bag,
} from '../errors/arguments.js';
import { parseCapabilities } from './capabilities.js';
import { parseDevices, type DeviceAsked } from './device-request.js';
import { parseAppArmor, parseSelinux } from './label-request.js';
import { parseUserOrGroup } from './process-request.js';
import { isRlimit, RLIMIT_NAMES, type RlimitName } from './rlimits.js';
import { parseSeccomp, type SeccompAsked, type SeccompWord } from './seccomp-request.js';
import type { SecurityOptions } from './security-options.js';
import { presetOf, PRESETS, type Preset, type PresetName } from './security-presets.js';
import { parseSysctls, type Sysctls } from './sysctl-request.js';
import { parseSharing, type Sharing } from './sharing-request.js';
import { parseTimeOffsets, type TimeOffsets } from './time-request.js';
import { parseUserns, type IdMaps } from './userns-request.js';

export interface UlimitAsked {
  readonly name: RlimitName;
  readonly soft: number;
  readonly hard: number;
}

/** What the preset says, or was said in its stead. */
export interface SecurityRequest extends Omit<Preset, 'seccomp'> {
  readonly seccomp: SeccompWord | SeccompAsked;
  /** Bare names, or `ALL`. */
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly readOnlyRootfs: boolean;
  readonly ulimits: readonly UlimitAsked[];
  readonly groupAdd: readonly string[];
  readonly sysctls: Sysctls;
  readonly devices: readonly DeviceAsked[];
  readonly pid: Sharing;
  readonly ipc: Sharing;
  readonly uts: Sharing;
  readonly timeOffsets: TimeOffsets | undefined;
  readonly apparmor: string | undefined;
  /** Undefined: it has none of its own. */
  readonly userns: IdMaps | 'auto' | undefined;
  readonly selinux: string | undefined;
  readonly mountLabel: string | undefined;
}

const NOTHING = Object.freeze({
  capAdd: Object.freeze([]),
  capDrop: Object.freeze([]),
  readOnlyRootfs: false,
  ulimits: Object.freeze([]),
  groupAdd: Object.freeze([]),
  sysctls: Object.freeze({}),
  devices: Object.freeze([]),
  pid: 'private',
  ipc: 'private',
  uts: 'private',
  timeOffsets: undefined,
  apparmor: undefined,
  userns: undefined,
  selinux: undefined,
  mountLabel: undefined,
});
const plain = (name: PresetName): SecurityRequest =>
  Object.freeze({ ...presetOf(name), ...NOTHING });
const PLAIN: Readonly<Record<PresetName, SecurityRequest>> = {
  default: plain('default'),
  strict: plain('strict'),
  privileged: plain('privileged'),
};

const KEY_TABLE: Record<keyof SecurityOptions, true> = {
  preset: true,
  capAdd: true,
  capDrop: true,
  noNewPrivileges: true,
  seccomp: true,
  readOnlyRootfs: true,
  userns: true,
  pid: true,
  ipc: true,
  uts: true,
  devices: true,
  timeOffsets: true,
  sysctls: true,
  ulimits: true,
  maskedPaths: true,
  readOnlyPaths: true,
  apparmor: true,
  selinux: true,
  mountLabel: true,
  groupAdd: true,
};
const KEYS: ReadonlySet<string> = new Set(Object.keys(KEY_TABLE));

export function parseSecurity(value: unknown): SecurityRequest {
  if (value === undefined) return PLAIN.default;
  if (typeof value === 'string') return PLAIN[checkOneOf(value, 'security', PRESETS)];
  if (typeof value !== 'object') {
    throw invalid('security', `must be a preset or an object, not ${kindOf(value)}`);
  }
  const bag = checkBag(value, 'security', KEYS);
  const preset = presetOf(checkOneOf(bag['preset'] ?? 'default', 'security.preset', PRESETS));
  const names = (key: string): readonly string[] =>
    bag[key] === undefined ? [] : parseCapabilities(bag[key], `security.${key}`);
  return {
    ...preset,
    capAdd: names('capAdd'),
    capDrop: names('capDrop'),
    noNewPrivileges: flag(bag, 'noNewPrivileges', preset.noNewPrivileges),
    seccomp: parseSeccomp(bag['seccomp'] ?? preset.seccomp, 'security.seccomp'),
    readOnlyRootfs: flag(bag, 'readOnlyRootfs', false),
    ulimits: bag['ulimits'] === undefined ? [] : parseUlimits(bag['ulimits']),
    maskedPaths: paths(bag, 'maskedPaths') ?? preset.maskedPaths,
    readOnlyPaths: paths(bag, 'readOnlyPaths') ?? preset.readOnlyPaths,
    groupAdd: list(bag, 'groupAdd', parseUserOrGroup) ?? [],
    sysctls: bag['sysctls'] === undefined ? NOTHING.sysctls : parseSysctls(bag['sysctls']),
    devices: bag['devices'] === undefined ? [] : parseDevices(bag['devices']),
    pid: parseSharing(bag['pid'], 'security.pid'),
    ipc: parseSharing(bag['ipc'], 'security.ipc'),
    uts: parseSharing(bag['uts'], 'security.uts'),
    userns: parseUserns(bag['userns'], 'security.userns'),
    apparmor: text(bag, 'apparmor', parseAppArmor),
    selinux: bag['selinux'] === 'unconfined' ? undefined : text(bag, 'selinux', parseSelinux),
    mountLabel: text(bag, 'mountLabel', parseSelinux),
    timeOffsets:
      bag['timeOffsets'] === undefined ? undefined : parseTimeOffsets(bag['timeOffsets']),
  };
}

function flag(bag: Bag, key: string, preset: boolean): boolean {
  return checkBoolean(bag[key] ?? preset, `security.${key}`);
}

function text(
  bag: Bag,
  key: string,
  parse: (value: unknown, option: string) => string,
): string | undefined {
  return bag[key] === undefined ? undefined : parse(bag[key], `security.${key}`);
}

function paths(bag: Bag, key: string): readonly string[] | undefined {
  return list(bag, key, checkAbsolutePath);
}

function list<T>(bag: Bag, key: string, check: (item: unknown, option: string) => T) {
  if (bag[key] === undefined) return undefined;
  return checkArray(bag[key], `security.${key}`).map((item, index) =>
    check(item, `security.${key}[${index}]`),
  );
}

const LIMIT_KEYS: ReadonlySet<string> = new Set(['soft', 'hard']);

function parseUlimits(value: unknown): readonly UlimitAsked[] {
  const bag = checkBag(value, 'security.ulimits', RLIMIT_NAMES);
  return Object.entries(bag).map(([name, asked]) => {
    const option = `security.ulimits.${name}`;
    if (!isRlimit(name)) throw invalid(option, 'no such limit');
    if (typeof asked === 'number') {
      const both = parseLimit(asked, option);
      return { name, soft: both, hard: both };
    }
    const pair = checkBag(asked, option, LIMIT_KEYS);
    const soft = parseLimit(pair['soft'], `${option}.soft`);
    const hard = parseLimit(pair['hard'], `${option}.hard`);
    if (soft > hard) throw invalid(option, 'the soft limit must not be above the hard one');
    return { name, soft, hard };
  });
}

function parseLimit(value: unknown, option: string): number {
  return value === Infinity || value === -1 ? Infinity : checkInteger(value, option, 0);
}
