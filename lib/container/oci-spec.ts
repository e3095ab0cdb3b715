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
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  readonly devices: readonly OciDevice[];
}

export type OciNamespace = 'mount' | 'pid' | 'ipc' | 'uts' | 'network' | 'cgroup';
