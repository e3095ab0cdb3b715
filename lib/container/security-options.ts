/**
 * How much a container may do: a preset, and single options over it. Of what is "not in this version" the value that
 * asks for nothing may be said; every other one is `ERR_UNSUPPORTED`.
 */
export interface SecurityOptions {
  /**
   * `'default'` is Docker's. `'strict'` is for code that nobody trusts: no capabilities, `noNewPrivileges`, and the
   * strict system calls; limits are an option of their own. `'privileged'` is for code that is trusted with the
   * machine: every capability, every system call, nothing masked or read-only, /sys, cgroups and the devices of a bind
   * to be used; as an ordinary user, as far as that user's rights go. docs/limits-and-isolation.md compares them.
   * @defaultValue `'default'`
   */
  preset?: 'default' | 'strict' | 'privileged';
  /**
   * Capabilities beyond the preset's, such as `'NET_ADMIN'` or `'CAP_NET_ADMIN'`, or `'ALL'`: those that this
   * program has itself.
   */
  capAdd?: string[];
  /** Capabilities to take away, or `'ALL'`; from `capAdd: ['ALL']` too, while what `capAdd` names stays. */
  capDrop?: string[];
  /** setuid programs and file capabilities give nothing. @defaultValue `false`, as Docker's */
  noNewPrivileges?: boolean;
  /**
   * Which system calls may be made: `'default'` is Docker's default profile, for the capabilities that the container
   * has; `'strict'` the same without 32-bit and x32 calls, which are the end of the process; a profile is one in Docker's JSON form, read as Docker reads it. `exec` and `spawn` have the same. Without
   * `noNewPrivileges` a profile must allow what a start still calls after it is loaded, such as `capset` and `execve`.
   * @defaultValue `'default'`
   */
  seccomp?: 'default' | 'strict' | 'unconfined' | SeccompProfile;
  /** Nothing but mounts can be written. @defaultValue `false` */
  readOnlyRootfs?: boolean;
  /**
   * A user namespace of its own, for root's containers: who inside is whom outside. `containerId` 0 must be mapped; the
   * ids are for nobody else, and the files that a container writes keep them. No other namespace can be shared with it.
   * Needs mounts with mapped ids, else it is `ERR_UNSUPPORTED`. `'auto'`: 65536 ids that no other container with it has,
   * until it is removed, of those that /etc/subuid and /etc/subgid give to the user `containers`.
   * @defaultValue `'host'`: root's containers have this machine's ids, an ordinary user's those of that user
   */
  userns?: 'host' | 'auto' | { uidMap: IdMap[]; gidMap: IdMap[] };
  /**
   * Whose processes it sees and may signal: its own, this machine's, or those of another container of this Runtime,
   * by id or name, which must run at each start and whose end is the end of both. `'host'` needs a cgroup, by which
   * all that it has started is ended: an ordinary user's must be delegated.
   * @defaultValue `'private'`
   */
  pid?: 'private' | 'host' | `container:${string}`;
  /**
   * Whose System V objects, message queues and /dev/shm it has: its own, this machine's, or another container's.
   * @defaultValue `'private'`
   */
  ipc?: 'private' | 'host' | `container:${string}`;
  /**
   * Whose host name it has: its own, this machine's, or another container's. With the latter two `hostname` cannot
   * be said.
   * @defaultValue `'private'`
   */
  uts?: 'private' | 'host' | `container:${string}`;
  /**
   * Device nodes of this machine, as `docker run --device` takes them: `'/dev/fuse'`, `'/dev/a:/dev/b:rw'`, or an
   * object. As an ordinary user, those that this user may open.
   */
  devices?: (string | Device)[];
  /**
   * Settings below /proc/sys of the container's own namespaces, by their dotted or slashed names: `net.*` unless it
   * shares a network, `kernel.msg*`, `kernel.shm*`, `kernel.sem`, `fs.mqueue.*`, `kernel.domainname`. All others are
   * the machine's, and refused.
   * @defaultValue Docker's two, where the network is its own: ports from 0 for everybody, ping for every group
   */
  sysctls?: Record<string, string>;
  /**
   * A time namespace of its own, in which these clocks are set forward or back: time_namespaces(7). Needs Linux 5.6.
   * @defaultValue the machine's clocks
   */
  timeOffsets?: { monotonic?: TimeOffset; boottime?: TimeOffset };
  /**
   * Limits of setrlimit(2) by Docker's names: `nofile`, `nproc`, `core`, …, in that call's units; `Infinity` and
   * -1 are unlimited. One number is both limits.
   * @defaultValue this program's, with a soft `nofile` of at most 1024
   */
  ulimits?: Record<string, number | { soft: number; hard: number }>;
  /** Absolute paths, hidden by something empty. @defaultValue Docker's list */
  maskedPaths?: string[];
  /** Absolute paths. @defaultValue Docker's list */
  readOnlyPaths?: string[];
  /**
   * Name of a loaded AppArmor profile, or `'unconfined'`, which may be said on every machine.
   * @defaultValue `'caisson-default'` where it is loaded and the program is root's; else as this program is
   */
  apparmor?: string;
  /**
   * SELinux label of its processes, whole: `'system_u:system_r:container_t:s0:c1,c2'`; or `'unconfined'`, which asks
   * for none and may be said on every machine. One that has no SELinux, or no such type: `ERR_UNSUPPORTED`.
   * @defaultValue as the policy has it for what this program starts
   */
  selinux?: string;
  /**
   * SELinux label of every file in the container's root, its `tmpfs` mounts, /dev and /etc: usually
   * `'system_u:object_r:container_file_t:…'` with the level of `selinux`. What is bound keeps its labels. Such a start
   * takes nothing that was prepared, and so a few milliseconds more.
   * @defaultValue as the policy has it
   */
  mountLabel?: string;
  /** Further groups, by name or number. An ordinary user without subordinate ids can have none. */
  groupAdd?: string[];
}

/** As OCI has it: `secs` may be negative, `nanosecs` are added. The clock must not go below 0. */
export interface TimeOffset {
  secs?: number;
  nanosecs?: number;
}

export interface IdMap {
  containerId: number;
  hostId: number;
  size: number;
}

export interface Device {
  /** Absolute path of a node on this machine, or of a folder: then all nodes below it. */
  hostPath: string;
  /** Absolute path in the container. @defaultValue `hostPath` */
  path?: string;
  /** Some of `rwm`: read, write, make nodes of it. @defaultValue `'rwm'` */
  permissions?: string;
}

/** A seccomp profile in Docker's JSON form. `SCMP_ACT_NOTIFY` and flags are not in this version. */
export interface SeccompProfile {
  defaultAction: string;
  syscalls?: unknown[];
  [key: string]: unknown;
}
