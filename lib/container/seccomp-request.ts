// A seccomp profile in Docker's JSON form → typed. What it is about on this machine is seccomp-plan.ts.
import {
  checkArray,
  checkBag,
  checkInteger,
  checkName,
  checkOneOf,
  checkString,
  invalid,
  kindOf,
  notYet,
  type Bag,
} from '../errors/arguments.js';
import { parseCapabilities } from './capabilities.js';

/** `'default'` and `'strict'` are tables of the native part. */
export type SeccompWord = 'default' | 'strict' | 'unconfined';

export interface SeccompAsked {
  /** As the kernel has it: SECCOMP_RET_…, with the errno in the low half. */
  readonly defaultVerdict: number;
  readonly architectures: readonly string[];
  /** By the machine's own architecture: those that may be used beside it. */
  readonly subArchitectures: ReadonlyMap<string, readonly string[]>;
  readonly rules: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly verdict: number;
  readonly args: readonly SeccompArg[];
  readonly includes: SeccompWhen;
  readonly excludes: SeccompWhen;
}

export interface SeccompArg {
  readonly index: number;
  /** As addon/plan/seccomp/profile.h numbers them. */
  readonly operator: number;
  readonly value: number;
  readonly valueTwo: number;
}

export interface SeccompWhen {
  /** With their CAP_. */
  readonly caps: readonly string[];
  /** As Go and Docker call them: `amd64`, `arm64`. */
  readonly arches: readonly string[];
  readonly minKernel: readonly [major: number, minor: number] | undefined;
}

const EPERM = 1;
const MAX_ERRNO = 4095;

export const ACTIONS: Readonly<
  Record<string, { readonly verdict: number; readonly takesErrno?: true }>
> = {
  SCMP_ACT_KILL: { verdict: 0 },
  SCMP_ACT_KILL_THREAD: { verdict: 0 },
  SCMP_ACT_KILL_PROCESS: { verdict: 0x8000_0000 },
  SCMP_ACT_TRAP: { verdict: 0x0003_0000 },
  SCMP_ACT_ERRNO: { verdict: 0x0005_0000, takesErrno: true },
  SCMP_ACT_TRACE: { verdict: 0x7ff0_0000, takesErrno: true },
  SCMP_ACT_LOG: { verdict: 0x7ffc_0000 },
  SCMP_ACT_ALLOW: { verdict: 0x7fff_0000 },
};

export const OPERATORS = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
] as const;

const PROFILE_KEYS = new Set([
  'defaultAction',
  'defaultErrnoRet',
  'architectures',
  'archMap',
  'syscalls',
  'flags',
  'listenerPath',
  'listenerMetadata',
]);
const MAP_KEYS = new Set(['architecture', 'subArchitectures']);
const RULE_KEYS = new Set([
  'name',
  'names',
  'action',
  'errnoRet',
  'args',
  'comment',
  'includes',
  'excludes',
]);
const ARG_KEYS = new Set(['index', 'value', 'valueTwo', 'op']);
const WHEN_KEYS = new Set(['caps', 'arches', 'minKernel']);

export function parseSeccompProfile(value: unknown, option: string): SeccompAsked {
  const bag = checkBag(value, option, PROFILE_KEYS);
  refuseLater(bag, option);
  const architectures = list(bag['architectures'], `${option}.architectures`, checkName);
  const archMap = list(bag['archMap'], `${option}.archMap`, parseArchMap);
  if (architectures.length > 0 && archMap.length > 0) {
    throw invalid(`${option}.archMap`, 'must not stand beside architectures');
  }
  return {
    defaultVerdict: parseVerdict(bag, 'defaultAction', 'defaultErrnoRet', option),
    architectures,
    subArchitectures: new Map(archMap),
    rules: list(bag['syscalls'], `${option}.syscalls`, parseRule),
  };
}

function refuseLater(bag: Bag, option: string): void {
  if ((bag['listenerPath'] ?? '') !== '') throw notYet(`${option}.listenerPath`);
  for (const flag of list(bag['flags'], `${option}.flags`, checkName)) {
    // All threads get the filter: there is one.
    if (flag !== 'SECCOMP_FILTER_FLAG_TSYNC') throw notYet(`${option}.flags: ${flag}`);
  }
}

function parseArchMap(value: unknown, option: string): [string, readonly string[]] {
  const bag = checkBag(value, option, MAP_KEYS);
  return [
    checkName(bag['architecture'], `${option}.architecture`),
    list(bag['subArchitectures'], `${option}.subArchitectures`, checkName),
  ];
}

function parseRule(value: unknown, option: string): SeccompRule {
  const bag = checkBag(value, option, RULE_KEYS);
  const { name } = bag;
  const names = list(bag['names'], `${option}.names`, checkCall);
  if (name !== undefined && name !== '' && names.length > 0) {
    throw invalid(`${option}.name`, 'must not stand beside names');
  }
  return {
    names: name === undefined || name === '' ? names : [checkCall(name, `${option}.name`)],
    verdict: parseVerdict(bag, 'action', 'errnoRet', option),
    args: list(bag['args'], `${option}.args`, parseArg),
    includes: parseWhen(bag['includes'], `${option}.includes`),
    excludes: parseWhen(bag['excludes'], `${option}.excludes`),
  };
}

function checkCall(value: unknown, option: string): string {
  const name = checkName(value, option);
  if (!/^\w{1,64}$/.test(name)) throw invalid(option, 'must be the name of a system call');
  return name;
}

function parseVerdict(bag: Bag, key: string, errnoKey: string, option: string): number {
  const name = checkName(bag[key], `${option}.${key}`);
  if (name === 'SCMP_ACT_NOTIFY') throw notYet(`${option}.${key}: ${name}`);
  checkOneOf(name, `${option}.${key}`, Object.keys(ACTIONS));
  const action = ACTIONS[name];
  if (action === undefined) throw new Error('a name that was checked');
  const asked = bag[errnoKey];
  if (action.takesErrno === undefined) return action.verdict;
  const given = asked === undefined || asked === null ? EPERM : asked;
  return action.verdict + checkInteger(given, `${option}.${errnoKey}`, 0, MAX_ERRNO);
}

function parseArg(value: unknown, option: string): SeccompArg {
  const bag = checkBag(value, option, ARG_KEYS);
  const op = checkOneOf(bag['op'], `${option}.op`, OPERATORS);
  return {
    index: checkInteger(bag['index'], `${option}.index`, 0, 5),
    operator: OPERATORS.indexOf(op),
    value: checkInteger(bag['value'], `${option}.value`, 0),
    valueTwo: checkInteger(bag['valueTwo'] ?? 0, `${option}.valueTwo`, 0),
  };
}

function parseWhen(value: unknown, option: string): SeccompWhen {
  if (value === undefined || value === null) {
    return { caps: [], arches: [], minKernel: undefined };
  }
  const bag = checkBag(value, option, WHEN_KEYS);
  const caps = parseCapabilities(bag['caps'] ?? [], `${option}.caps`);
  return {
    caps: caps.map((name) => `CAP_${name}`),
    arches: list(bag['arches'], `${option}.arches`, checkName),
    minKernel: parseKernel(bag['minKernel'], `${option}.minKernel`),
  };
}

function parseKernel(value: unknown, option: string): readonly [number, number] | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(checkString(value, option));
  if (match === null) throw invalid(option, 'must be two numbers with a dot, such as "4.8"');
  return [Number(match[1]), Number(match[2])];
}

/** Docker writes null for what is not there. */
function list<T>(value: unknown, option: string, check: (item: unknown, option: string) => T): T[] {
  if (value === undefined || value === null) return [];
  return checkArray(value, option).map((item, index) => check(item, `${option}[${index}]`));
}

/** What `security.seccomp` says. */
export function parseSeccomp(value: unknown, option: string): SeccompWord | SeccompAsked {
  if (value === 'default' || value === 'strict' || value === 'unconfined') return value;
  if (typeof value === 'object' && value !== null) return parseSeccompProfile(value, option);
  const told = typeof value === 'string' ? JSON.stringify(value) : kindOf(value);
  throw invalid(option, `must be 'default', 'strict', 'unconfined' or a profile, not ${told}`);
}
