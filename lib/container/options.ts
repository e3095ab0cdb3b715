import type { Readable } from 'node:stream';
import type { Image } from '../image/image.js';
import type { Network } from '../network/network.js';
import type { Call, Labels, Size } from '../runtime/call.js';
import type { Volume } from '../volume/volume.js';
import type {
  EgressPolicy,
  FileContent,
  HealthCheck,
  PublishSpec,
  RestartPolicy,
} from './later-options.js';
import type { Limits } from './limits.js';
import type { Ready } from './ready.js';
import type { SecurityOptions } from './security-options.js';

/** A terminal's size, or `true` for 80 by 24. */
export type Tty = boolean | { columns: number; rows: number };

/** Something of the host, of the store or of memory, put over a path of the container. */
export type Mount = BindMount | VolumeMount | TmpfsMount;

/** A file or folder of this machine, with what is mounted below it; device nodes in it cannot be used. */
export interface BindMount {
  type: 'bind';
  /** Absolute path on this machine; it must exist. */
  source: string;
  /**
   * Absolute path in the container; made if it is missing. Not `/`, nor inside /proc or /sys, but for a few files
   * such as /proc/meminfo; nor where links of the image lead there.
   */
  target: string;
  /** Everything below it as well. @defaultValue `false` */
  readOnly?: boolean;
  /**
   * With `security.userns`: files belong to whom they do on this machine, by number; what is created as root inside is
   * root's here. Without it they do so anyway. Every file system in it must have mounts with mapped ids.
   * @defaultValue `false`: with `security.userns` ids that are not mapped show as nobody, 65534
   */
  idmap?: boolean;
}

/** Not in this version: `ERR_UNSUPPORTED`. */
export interface VolumeMount {
  type: 'volume';
  volume: string | Volume;
  target: string;
  readOnly?: boolean;
}

/** Memory, gone when the container ends; anybody in the container may write to it (mode 1777). */
export interface TmpfsMount {
  type: 'tmpfs';
  /** As a bind's. */
  target: string;
  /** @defaultValue half of the machine's memory, as the kernel does */
  sizeBytes?: Size;
}

/** Where the output of `start` and `create` goes. */
export type LogDriver =
  | {
      /** A file of the store, which `attach()` follows. */
      type: 'file';
      /** Of one file, before the next one begins; at least 4096. @defaultValue `'16MiB'` */
      maxBytes?: Size;
      /** How many are kept, from 1 to 1000. @defaultValue `3` */
      files?: number;
    }
  | {
      /** Nowhere: stdout and stderr are /dev/null. */
      type: 'none';
    };

/** Not in this version: `ERR_UNSUPPORTED`. */
export interface NetworkAttachmentOptions {
  network: Network;
  aliases?: string[];
  ip?: string;
}

/**
 * What a container is made of. Unknown names are refused with the nearest known one. "Not in this version" means
 * that asking for it is `ERR_UNSUPPORTED`.
 */
export interface ContainerOptions extends Call {
  /**
   * What it is made from: an Image, or the name, id or beginning of an id of one in the store. What is not there is
   * pulled.
   */
  image: string | Image;
  /**
   * Letters, digits and `_.-`, at most 128, the first one a letter or digit; unique in the store.
   * @defaultValue the first 12 digits of its id
   */
  name?: string;
  /** @defaultValue the image's Cmd, unless `entrypoint` is given */
  argv?: string[];
  /** Comes before `argv`. @defaultValue the image's */
  entrypoint?: string[];
  /**
   * Added to the image's, over equal names. Nothing of this program's environment goes in; `PATH`, `HOSTNAME` and
   * `HOME` are there unless image or `env` say otherwise.
   */
  env?: Record<string, string>;
  /** Absolute; made if it is missing. @defaultValue the image's, else `'/'` */
  cwd?: string;
  /**
   * `name`, `uid`, `name:group` or `uid:gid`, names from the image's own files. As an ordinary user without
   * subordinate ids only `0`.
   * @defaultValue the image's, else `'0'`
   */
  user?: string;
  /**
   * Its stdin, stdout and stderr are a terminal of its own, which is /dev/console too: what it shows goes to the log
   * as it is, `attach()` shows it and types on it; `TERM` is `xterm` unless it is set. @defaultValue `false`
   */
  tty?: Tty;
  /** `'pipe'` lets `attach()` write to it. @defaultValue `'ignore'`: empty; with `tty` `'pipe'` */
  stdin?: 'pipe' | 'ignore';
  /**
   * Process 1 is a small one of caisson's, which starts the command, hands signals on to it, waits for orphans and ends
   * as the command does. Without it the command is process 1: the kernel keeps from it what it has no handler for, and
   * orphans it does not wait for stay zombies. @defaultValue `false`
   */
  init?: boolean;
  /**
   * Letters, digits and `-` in parts divided by dots, at most 63.
   * @defaultValue the first 12 digits of its id; with a network that is not its own that one's
   */
  hostname?: string;
  /** For `list` and `inspect`; they mean nothing to caisson. Those of the Runtime are added. */
  labels?: Labels;
  /** At most 1000, no target twice. One takes the place of what is mounted there by default (`/dev/shm`). */
  mounts?: Mount[];
  /**
   * `'none'`: a network namespace of its own with nothing but loopback. `'host'`: this machine's.
   * `'container:<id or name>'`: that of another container of this Runtime, which must run at each start; it stays
   * when that one ends. Its host name and name resolution are then the other's, so `dns` and `extraHosts` cannot be
   * said. The others are not in this version.
   * @defaultValue `'none'`
   */
  networks?:
    (Network | NetworkAttachmentOptions)[] | 'none' | 'bridge' | 'host' | `container:${string}`;
  /** Not in this version. */
  publish?: PublishSpec[];
  /** Not in this version. */
  egress?: EgressPolicy;
  /** What /etc/resolv.conf says. @defaultValue an empty one; with `networks: 'host'` this machine's */
  dns?: { servers?: string[]; search?: string[]; options?: string[] };
  /** Name to IPv4 or IPv6 address, added to /etc/hosts. */
  extraHosts?: Record<string, string>;
  /** What all its processes together may use; `security.ulimits` has what each of them may. */
  limits?: Limits;
  /**
   * Absolute path of a cgroup, made if it is missing: the container's is below it, in a folder of its Runtime's, in
   * every hierarchy, and what limits the parent limits the container. As an ordinary user below the delegated group.
   * The parent stays.
   * @defaultValue that of the Runtime
   */
  cgroupParent?: string;
  /** @defaultValue `'default'`: Docker's; as root without `CAP_MKNOD` where no device cgroup can be had */
  security?: 'default' | 'strict' | 'privileged' | SecurityOptions;
  /** Not in this version. */
  health?: HealthCheck;
  /** Not in this version. */
  ready?: Ready;
  /** Not in this version, but for `{ policy: 'no' }`. */
  restart?: RestartPolicy;
  /** @defaultValue `{ type: 'file', maxBytes: '16MiB', files: 3 }` */
  log?: LogDriver;
  /** Milliseconds from the start of the process; then the whole container is killed. @defaultValue `0`: none */
  timeoutMs?: number;
  /** Not in this version. */
  detached?: boolean;
  /** Remove it when it has ended. @defaultValue `false` */
  autoRemove?: boolean;
  /** Not in this version. */
  files?: Record<string, FileContent>;
}

/** What `run` and `exec` make of output: text (a byte that is no UTF-8 becomes U+FFFD), or the bytes. */
export type Encoding = 'utf8' | 'buffer';

/** How `exec` runs a command. Its `runtime` is the container's own: another one is refused. */
export interface ExecOptions<E extends Encoding = 'utf8'> extends Call {
  /** Added to the container's, over equal names. */
  env?: Record<string, string>;
  /** Absolute; it must exist. @defaultValue the container's */
  cwd?: string;
  /** As the container's. @defaultValue the container's */
  user?: string;
  /**
   * All of its stdin, which then ends. A stream that fails kills the process, and the call rejects with its error.
   * @defaultValue empty
   */
  input?: string | Uint8Array | Readable;
  /** Milliseconds from the start of the process; then its whole tree is killed. @defaultValue `0`: none */
  timeoutMs?: number;
  /**
   * Of stdout and of stderr each; what comes after is read and dropped, and `truncated` says so. Below 2 GiB.
   * @defaultValue `16 * 1024 * 1024`
   */
  maxOutputBytes?: number;
  /** @defaultValue `'utf8'` */
  encoding?: E;
  /** Reject with an ExecError unless it exits with 0. @defaultValue `false` */
  check?: boolean;
  /** With every capability and without a seccomp filter; masks are the container's. @defaultValue `false` */
  privileged?: boolean;
}

/** How `spawn` starts a command. Its `runtime` is the container's own: another one is refused. */
export interface SpawnOptions extends Call {
  /** Added to the container's, over equal names. */
  env?: Record<string, string>;
  /** Absolute; it must exist. @defaultValue the container's */
  cwd?: string;
  /** As the container's. @defaultValue the container's */
  user?: string;
  /**
   * Its stdin, stdout and stderr are a terminal of the container's own, with job control; `stdin` and `stdout` of
   * the Process are then one stream, and `TERM` is `xterm` unless it is set. @defaultValue `false`
   */
  tty?: Tty;
  /** `'ignore'`: empty, and the process has no `stdin`. @defaultValue `'pipe'` */
  stdin?: 'pipe' | 'ignore';
  /** Milliseconds from the start of the process; then its whole tree is killed. @defaultValue `0`: none */
  timeoutMs?: number;
  /** As `exec`'s. @defaultValue `false` */
  privileged?: boolean;
}

/**
 * One set of options for the container and its one process. `cwd` is made if it is missing, and a timeout or an
 * abort kills the container.
 */
export type RunOptions<E extends Encoding = 'utf8'> = Omit<
  ContainerOptions,
  'image' | 'argv' | 'detached' | 'restart' | 'ready' | 'tty' | 'stdin' | 'autoRemove' | 'log'
> &
  Omit<ExecOptions<E>, 'privileged'>;

export interface StopOptions {
  /** Sent to pid 1 first; not again while a stop goes on. @defaultValue the image's StopSignal, else `'SIGTERM'` */
  stopSignal?: NodeJS.Signals;
  /** How long pid 1 has, in milliseconds; 0 kills at once. @defaultValue `10_000` */
  graceMs?: number;
  /** Gives up waiting; the stop goes on. */
  signal?: AbortSignal;
}

/** How long `wait` waits. Its `runtime` is the container's own: another one is refused. */
export interface WaitOptions extends Call {
  /** `'healthy'` is not in this version. @defaultValue `'exit'` */
  until?: 'exit' | 'running' | 'healthy' | 'removed';
}

export interface RemoveOptions {
  /** Kill it first if it runs. @defaultValue `false` */
  force?: boolean;
  /** Not in this version. */
  volumes?: boolean;
}
