import { readFileSync, statfsSync } from 'node:fs';
import { machine, release } from 'node:os';

/** Which cgroup hierarchies are mounted; `hybrid` has controllers on v1 and a v2 tree beside them. */
export type CgroupKind = 'none' | 'v1' | 'hybrid' | 'v2';

/**
 * What this machine and user can do, as far as a plan depends on it: plain data, read once and cheaply.
 * What has to be tried is `checkHost`'s matter.
 */
export interface HostFacts {
  readonly mode: 'root' | 'rootless';
  readonly cgroups: CgroupKind;
  /** Effective user and group of this program. */
  readonly uid: number;
  readonly gid: number;
  /** Name of the hardware as uname gives it: `x86_64`, `aarch64`. */
  readonly machine: string;
  /** Kernel release as uname gives it; for messages, never for decisions. */
  readonly kernel: string;
}

/** Root and nothing else is root: a user namespace's uid 0 has its own idea of what it may. */
export function defaultMode(): 'root' | 'rootless' {
  return process.geteuid?.() === 0 ? 'root' : 'rootless';
}

export function readHostFacts({
  mode = defaultMode(),
}: { mode?: 'root' | 'rootless' } = {}): HostFacts {
  return {
    mode,
    cgroups: cgroupKind(),
    uid: process.geteuid?.() ?? -1,
    gid: process.getegid?.() ?? -1,
    machine: machine(),
    kernel: release(),
  };
}

const CGROUP2_MAGIC = 0x63677270;

function cgroupKind(): CgroupKind {
  try {
    if (statfsSync('/sys/fs/cgroup').type === CGROUP2_MAGIC) return 'v2';
    return cgroupKindOf(readFileSync('/proc/self/mountinfo', 'utf8'));
  } catch {
    return 'none';
  }
}

/** @internal From the text of /proc/self/mountinfo. */
export function cgroupKindOf(mountinfo: string): CgroupKind {
  const v2 = / - cgroup2 /.test(mountinfo);
  // A named hierarchy (systemd's own) has no controllers and makes no v1.
  const v1 = mountinfo
    .split('\n')
    .some((line) => / - cgroup /.test(line) && !/[ ,]name=[^ ]*$/.test(line));
  if (v1) return v2 ? 'hybrid' : 'v1';
  return v2 ? 'v2' : 'none';
}
