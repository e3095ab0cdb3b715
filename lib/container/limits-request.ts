import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkInteger,
  checkSize,
  checkString,
  invalid,
  kindOf,
  notYet,
  quote,
  type Bag,
} from '../errors/arguments.js';
import type { IoLimit, Limits } from './limits.js';

/** Limits as asked for: what is absent was not. */
export interface LimitsRequest {
  readonly memoryBytes?: number;
  /** -1: unlimited. */
  readonly memorySwapBytes?: number;
  readonly memoryReservationBytes?: number;
  readonly cpus?: number;
  readonly cpuShares?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  /** -1: unlimited. */
  readonly pids?: number;
  readonly io?: readonly IoAsked[];
  readonly hugepages?: readonly HugepagesAsked[];
  readonly oomScoreAdj?: number;
}

export interface IoAsked {
  readonly device: string;
  readonly weight?: number;
  readonly readBytesPerSecond?: number;
  readonly writeBytesPerSecond?: number;
  readonly readOperationsPerSecond?: number;
  readonly writeOperationsPerSecond?: number;
}

export interface HugepagesAsked {
  /** As the kernel names it: `2MB`. */
  readonly pageSize: string;
  readonly bytes: number;
}

export const NO_LIMITS: LimitsRequest = Object.freeze({});

/** One page: the kernel counts in those. */
const LEAST_MEMORY = 4096;
const LEAST_CPUS = 0.01;
/** What the kernel takes as a quota. */
const MOST_CPUS = 21_474;
const LEAST_SHARES = 2;
const MOST_SHARES = 262_144;
/** As many as there can be on any machine. */
const MOST_PIDS = 4_194_304;
const MOST_WEIGHT = 1000;
const MOST_OPERATIONS = 2 ** 32 - 1;
const WORST_SCORE = 1000;

type Parse = (value: unknown, option: string) => unknown;

const orUnlimited =
  (parse: (value: unknown, option: string) => number): Parse =>
  (value, option) =>
    value === -1 ? -1 : parse(value, option);

const PARSERS: Readonly<Record<keyof Limits, Parse>> = {
  memoryBytes: (value, option) => checkSize(value, option, LEAST_MEMORY),
  memorySwapBytes: orUnlimited((value, option) => checkSize(value, option, LEAST_MEMORY)),
  memoryReservationBytes: (value, option) => checkSize(value, option, LEAST_MEMORY),
  cpus: parseCpus,
  cpuShares: (value, option) => checkInteger(value, option, LEAST_SHARES, MOST_SHARES),
  cpusetCpus: parseSet,
  cpusetMems: parseSet,
  pids: orUnlimited((value, option) => checkInteger(value, option, 0, MOST_PIDS)),
  diskBytes: () => {
    throw notYet('limits.diskBytes');
  },
  io: (value, option) => parseIo(value, option),
  hugepages: parseHugepages,
  oomScoreAdj: (value, option) => checkInteger(value, option, -WORST_SCORE, WORST_SCORE),
};
const KEYS: ReadonlySet<string> = new Set(Object.keys(PARSERS));

export function parseLimits(value: unknown): LimitsRequest {
  if (value === undefined) return NO_LIMITS;
  const limits = parseEach(checkBag(value, 'limits', KEYS), 'limits', PARSERS) as LimitsRequest;
  const { memoryBytes, memorySwapBytes, memoryReservationBytes } = limits;
  if (memorySwapBytes !== undefined) {
    if (memoryBytes === undefined) {
      throw invalid('limits.memorySwapBytes', 'needs limits.memoryBytes beside it');
    }
    if (memorySwapBytes !== -1 && memorySwapBytes < memoryBytes) {
      throw invalid(
        'limits.memorySwapBytes',
        'is memory and swap together: it must not be below memoryBytes',
      );
    }
  }
  if ((memoryReservationBytes ?? 0) > (memoryBytes ?? Infinity)) {
    throw invalid('limits.memoryReservationBytes', 'must not be above memoryBytes');
  }
  return limits;
}

/** The keys that are there, each by its own rule; undefined is not there. */
function parseEach(
  bag: Bag,
  path: string,
  parsers: Readonly<Record<string, Parse>>,
): Readonly<Record<string, unknown>> {
  const parsed: Record<string, unknown> = {};
  for (const [key, parse] of Object.entries(parsers)) {
    if (bag[key] !== undefined) parsed[key] = parse(bag[key], `${path}.${key}`);
  }
  return parsed;
}

function parseCpus(value: unknown, option: string): number {
  if (typeof value !== 'number' || !(value >= LEAST_CPUS && value <= MOST_CPUS)) {
    const shown = typeof value === 'number' ? String(value) : kindOf(value);
    throw invalid(option, `must be a number from ${LEAST_CPUS} to ${MOST_CPUS}, not ${shown}`);
  }
  return value;
}

/** `0-3,5`: as the kernel takes it, ranges upwards. */
function parseSet(value: unknown, option: string): string {
  const text = checkString(value, option);
  const good = text.split(',').every((part) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    return match !== null && Number(match[1]) <= Number(match[2] ?? match[1]);
  });
  if (!good) throw invalid(option, `must be like '0-3,5', not ${quote(text)}`);
  return text;
}

const rate: Parse = (value, option) => checkSize(value, option, 1);
const operations: Parse = (value, option) => checkInteger(value, option, 1, MOST_OPERATIONS);

const IO_PARSERS: Readonly<Record<keyof IoLimit, Parse>> = {
  device: checkAbsolutePath,
  weight: (value, option) => checkInteger(value, option, 1, MOST_WEIGHT),
  readBytesPerSecond: rate,
  writeBytesPerSecond: rate,
  readOperationsPerSecond: operations,
  writeOperationsPerSecond: operations,
};
const IO_KEYS: ReadonlySet<string> = new Set(Object.keys(IO_PARSERS));

function parseIo(value: unknown, option: string): readonly IoAsked[] {
  const seen = new Set<string>();
  return checkArray(value, option).map((item, index) => {
    const path = `${option}[${index}]`;
    const asked = parseEach(checkBag(item, path, IO_KEYS), path, IO_PARSERS) as Partial<IoAsked>;
    const { device } = asked;
    if (device === undefined) throw invalid(`${path}.device`, 'is needed');
    if (Object.keys(asked).length === 1) throw invalid(path, 'limits nothing');
    if (seen.has(device)) throw invalid(`${path}.device`, 'must not be there twice');
    seen.add(device);
    return { ...asked, device };
  });
}

function parseHugepages(value: unknown, option: string): readonly HugepagesAsked[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(option, `must be an object of page sizes and bytes, not ${kindOf(value)}`);
  }
  return Object.entries(value).map(([pageSize, bytes]) => {
    if (!/^[1-9]\d{0,8}[KMG]B$/.test(pageSize)) {
      throw invalid(option, `must have keys like '2MB', not ${quote(pageSize)}`);
    }
    return { pageSize, bytes: checkSize(bytes, `${option}.${pageSize}`) };
  });
}
