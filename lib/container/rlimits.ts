/** Docker's names of the limits of setrlimit(2), with their numbers on Linux (x64 and arm64). */
const RLIMITS = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export type RlimitName = keyof typeof RLIMITS;

export const RLIMIT_NAMES: ReadonlySet<string> = new Set(Object.keys(RLIMITS));

export const isRlimit = (name: string): name is RlimitName => RLIMIT_NAMES.has(name);

export const rlimitNumber = (name: RlimitName): number => RLIMITS[name];
