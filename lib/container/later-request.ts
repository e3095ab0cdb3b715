import { checkBag, checkBoolean, notYet, type Bag } from '../errors/arguments.js';
import type { Limits } from './later-options.js';

const LIMIT_KEYS: Record<keyof Limits, true> = {
  memoryBytes: true,
  memorySwapBytes: true,
  memoryReservationBytes: true,
  cpus: true,
  cpuShares: true,
  cpusetCpus: true,
  cpusetMems: true,
  pids: true,
  diskBytes: true,
  io: true,
  hugepages: true,
  oomScoreAdj: true,
};
const LIMITS: ReadonlySet<string> = new Set(Object.keys(LIMIT_KEYS));

/** What brings each option that this version knows by name only. */
const SINCE: Readonly<Record<string, string>> = {
  tty: 'version 0.2',
  init: 'version 0.2',
  cgroupParent: 'version 0.2',
  publish: 'a later version',
  egress: 'a later version',
  health: 'a later version',
  ready: 'a later version',
  restart: 'a later version',
  detached: 'a later version',
  files: 'a later version',
};
const LATER = Object.entries(SINCE);

/** Values that ask for nothing may be said; all others are refused by name. */
export function refuseLaterOptions(options: Bag): void {
  for (const [key, since] of LATER) {
    const value = options[key];
    if (value !== undefined && !asksForNothing(value)) throw notYet(key, since);
  }
  if (options['limits'] !== undefined) refuseLimits(options['limits']);
  if (options['detached'] !== undefined) checkBoolean(options['detached'], 'detached');
}

function refuseLimits(value: unknown): void {
  const limits = checkBag(value, 'limits', LIMITS);
  const [asked] = Object.keys(limits).filter((key) => limits[key] !== undefined);
  if (asked !== undefined) throw notYet(`limits.${asked}`, 'version 0.2');
}

function asksForNothing(value: unknown): boolean {
  if (value === false) return true;
  if (typeof value !== 'object' || value === null) return false;
  if ((value as Bag)['policy'] === 'no') return true;
  return Object.getOwnPropertyNames(value).filter((key) => key !== 'length').length === 0;
}
