import type { Size } from '../runtime/call.js';

/**
 * What a container may use. What this machine cannot limit is `ERR_UNSUPPORTED`, said before anything is started;
 * see docs/limits-and-isolation.md for what each of them needs.
 */
export interface Limits {
  /**
   * Memory of all its processes, with what it has in the page cache and in its tmpfs. Who goes beyond is killed:
   * `reason: 'oom'`. A few MiB are needed for the start itself.
   */
  memoryBytes?: Size;
  /**
   * Memory and swap together, at least `memoryBytes`, which it needs; -1 is unlimited swap, `memoryBytes` itself none.
   * @defaultValue twice `memoryBytes`, where the kernel counts swap
   */
  memorySwapBytes?: Size;
  /** Kept for it when memory is short; at most `memoryBytes`. */
  memoryReservationBytes?: Size;
  /** Processors, at least 0.01: 1.5 is the time of one and a half. */
  cpus?: number;
  /** Its weight beside other busy containers, from 2 to 262144. @defaultValue 1024 */
  cpuShares?: number;
  /** Which processors, as in `'0-3,5'`. */
  cpusetCpus?: string;
  /** Which memory nodes, likewise. */
  cpusetMems?: string;
  /** Processes and threads at once; 0 and 1 leave pid 1 alone, -1 is unlimited. */
  pids?: number;
  /** Not in this version. */
  diskBytes?: Size;
  /** Of disks, at most one item each. */
  io?: IoLimit[];
  /** Bytes in huge pages, by their size: `{ '2MB': '64MiB' }`. */
  hugepages?: Record<string, Size>;
  /**
   * From -1000 to 1000: who is killed first when the machine has no memory left. An ordinary user can only go up
   * from what this program has.
   */
  oomScoreAdj?: number;
}

/** What may be read from and written to one disk. Writes through the page cache are limited by cgroup v2 alone. */
export interface IoLimit {
  /** Path of a whole disk on this machine: `'/dev/sda'`. */
  device: string;
  /** From 1 to 1000, beside others on the same disk; needs BFQ or io.cost. @defaultValue 100 */
  weight?: number;
  readBytesPerSecond?: Size;
  writeBytesPerSecond?: Size;
  readOperationsPerSecond?: number;
  writeOperationsPerSecond?: number;
}
