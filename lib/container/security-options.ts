/**
 * How much a container may do. Absent members are the preset's. Of what is "not in this version" the value that
 * asks for nothing may be said; every other one is `ERR_UNSUPPORTED`.
 */
export interface SecurityOptions {
  /** `'strict'` and `'privileged'` are not in this version. @defaultValue `'default'` */
  preset?: 'default' | 'strict' | 'privileged';
  /** Capabilities beyond the preset's, such as `'NET_ADMIN'` or `'CAP_NET_ADMIN'`. `MKNOD`, and so `ALL`, is not in this version. */
  capAdd?: string[];
  /** Capabilities to take away, or `'ALL'`; done before `capAdd`. */
  capDrop?: string[];
  /** setuid programs and file capabilities give nothing. @defaultValue `false`, as Docker's */
  noNewPrivileges?: boolean;
  /**
   * Which system calls may be made: `'default'` is Docker's default profile, for the capabilities that the container
   * has; a profile is one in Docker's JSON form, read as Docker reads it. `exec` and `spawn` have the same. Without
   * `noNewPrivileges` a profile must allow what a start still calls after it is loaded, such as `capset` and `execve`.
   * @defaultValue `'default'`
   */
  seccomp?: 'default' | 'unconfined' | SeccompProfile;
  /** Nothing but mounts can be written. @defaultValue `false` */
  readOnlyRootfs?: boolean;
  /** Not in this version. @defaultValue `'host'` */
  userns?: 'host' | 'auto' | { uidMap: IdMap[]; gidMap: IdMap[] };
  /** Not in this version. @defaultValue `'private'` */
  pid?: 'private' | 'host' | `container:${string}`;
  /** Not in this version. @defaultValue `'private'` */
  ipc?: 'private' | 'host' | `container:${string}`;
  /** Not in this version. */
  devices?: Device[];
  /** Not in this version. */
  sysctls?: Record<string, string>;
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
  /** Not in this version. */
  apparmor?: string;
  /** Not in this version. */
  selinux?: string;
  /** Further groups, by name or number. An ordinary user's containers can have none. */
  groupAdd?: string[];
}

export interface IdMap {
  containerId: number;
  hostId: number;
  size: number;
}

export interface Device {
  source: string;
  target?: string;
  permissions?: string;
}

/** A seccomp profile in Docker's JSON form. `SCMP_ACT_NOTIFY` and flags are not in this version. */
export interface SeccompProfile {
  defaultAction: string;
  syscalls?: unknown[];
  [key: string]: unknown;
}
