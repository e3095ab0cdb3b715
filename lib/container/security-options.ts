/** How much a container may do. Absent members are the preset's. */
export interface SecurityOptions {
  /** @defaultValue `'default'` */
  preset?: 'default' | 'strict' | 'privileged';
  /** Capabilities beyond the preset's, such as `'NET_ADMIN'`. */
  capAdd?: string[];
  /** Capabilities to take away, or `'ALL'`; done before `capAdd`. */
  capDrop?: string[];
  /** setuid programs and file capabilities give nothing. @defaultValue `false`, as Docker's */
  noNewPrivileges?: boolean;
  seccomp?: 'default' | 'unconfined' | SeccompProfile;
  /** Nothing but mounts can be written. @defaultValue `false` */
  readOnlyRootfs?: boolean;
  userns?: 'host' | 'auto' | { uidMap: IdMap[]; gidMap: IdMap[] };
  pid?: 'private' | 'host' | `container:${string}`;
  ipc?: 'private' | 'host' | `container:${string}`;
  devices?: Device[];
  sysctls?: Record<string, string>;
  /** By Docker's names: `nofile`, `nproc`, `core`, …; `Infinity` is unlimited. */
  ulimits?: Record<string, number | { soft: number; hard: number }>;
  /** Hidden by something empty. @defaultValue Docker's list */
  maskedPaths?: string[];
  /** @defaultValue Docker's list */
  readOnlyPaths?: string[];
  apparmor?: string;
  selinux?: string;
  /** Further groups, by name or number. */
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

/** A seccomp profile in Docker's JSON form. */
export interface SeccompProfile {
  defaultAction: string;
  syscalls?: unknown[];
  [key: string]: unknown;
}
