// The part of the OCI runtime-spec's config.json (1.2) that a plan is made of.

export interface OciSpec {
  readonly ociVersion: string;
  readonly hostname?: string;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly process: OciProcess;
  readonly mounts: readonly OciMount[];
  readonly linux: OciLinux;
}

export interface OciProcess {
  readonly terminal: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  /** Zero when it is a name, which is looked up inside: then `username` has it. */
  readonly user: {
    readonly uid: number;
    readonly gid: number;
    readonly umask: number;
    readonly username?: string;
  };
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: OciCapabilities;
  readonly rlimits: readonly OciRlimit[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
}

export interface OciCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface OciRlimit {
  /** `RLIMIT_NOFILE` and so on. */
  readonly type: string;
  /** 2^64-1, which is no JavaScript number, stands as -1: unlimited. */
  readonly soft: number;
  readonly hard: number;
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** A node that is made; where none can be, a mount is in its place. */
export interface OciDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface OciLinux {
  /** `path` is `container:<id>` for the one that this container has when it starts: only then is it a path. */
  readonly namespaces: readonly { readonly type: OciNamespace; readonly path?: string }[];
  /** Beside a namespace of type `user`. */
  readonly uidMappings?: readonly OciIdMapping[];
  readonly gidMappings?: readonly OciIdMapping[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  readonly devices: readonly OciDevice[];
  readonly timeOffsets?: Readonly<
    Partial<Record<'monotonic' | 'boottime', { readonly secs: number; readonly nanosecs: number }>>
  >;
  /** SELinux's, of all file systems that are made for the container. */
  readonly mountLabel?: string;
  /** Absent where a container has no cgroup that could limit it. */
  readonly resources?: OciResources;
  /** Absent: unconfined. */
  readonly seccomp?: OciSeccomp;
}

/** What a profile comes to for the container's capabilities on this machine. */
export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly OciSyscalls[];
}

export interface OciSyscalls {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly valueTwo?: number;
    readonly op: string;
  }[];
}

export interface OciResources {
  readonly devices?: readonly OciDeviceRule[];
  readonly memory?: {
    readonly limit?: number;
    readonly swap?: number;
    readonly reservation?: number;
  };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
  readonly blockIO?: OciBlockIo;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
}

export interface OciDeviceRule {
  readonly allow: boolean;
  /** `'a'`: all. */
  readonly type: 'a' | 'b' | 'c';
  /** Absent: any. */
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

export interface OciBlockIo {
  readonly weightDevice?: readonly (OciDeviceNumber & { readonly weight: number })[];
  readonly throttleReadBpsDevice?: readonly OciThrottle[];
  readonly throttleWriteBpsDevice?: readonly OciThrottle[];
  readonly throttleReadIOPSDevice?: readonly OciThrottle[];
  readonly throttleWriteIOPSDevice?: readonly OciThrottle[];
}

export interface OciDeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** A second. */
export type OciThrottle = OciDeviceNumber & { readonly rate: number };

export interface OciIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export type OciNamespace = 'user' | 'mount' | 'pid' | 'ipc' | 'uts' | 'network' | 'cgroup' | 'time';
