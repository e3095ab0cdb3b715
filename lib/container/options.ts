import type { Readable } from 'node:stream';
import type { Image } from '../image/image.js';
import type { Network } from '../network/network.js';
import type { Call, Labels, Size } from '../runtime/call.js';
import type { Volume } from '../volume/volume.js';
import type {
  EgressPolicy,
  FileContent,
  HealthCheck,
  Limits,
  PublishSpec,
  RestartPolicy,
} from './later-options.js';
import type { Ready } from './ready.js';
import type { SecurityOptions } from './security-options.js';

/** A terminal's size, or `true` for 80 by 24. */
export type Tty = boolean | { columns: number; rows: number };

/** Something of the host, of the store or of memory, put over a path of the container. */
export type Mount = BindMount | VolumeMount | TmpfsMount;

export interface BindMount {
  type: 'bind';
  /** Absolute path on this machine; it must exist. */
  source: string;
  /** Absolute path in the container; made if it is missing. Not inside /proc or /sys. */
  target: string;
  /** Everything below it as well. @defaultValue `false` */
  readOnly?: boolean;
  idmap?: boolean;
}

export interface VolumeMount {
  type: 'volume';
  volume: string | Volume;
  target: string;
  readOnly?: boolean;
}

export interface TmpfsMount {
  type: 'tmpfs';
  target: string;
  /** @defaultValue half of the machine's memory, as the kernel does */
  sizeBytes?: Size;
}

/** Where the output of `start` and `create` goes. */
export type LogDriver =
  | {
      /** A file of the store, which `attach()` follows. */
      type: 'file';
      /** Of one file, before the next one begins. @defaultValue `'16MiB'` */
      maxBytes?: Size;
      /** How many are kept. @defaultValue `3` */
      files?: number;
    }
  | { type: 'none' };

export interface NetworkAttachmentOptions {
  network: Network;
  aliases?: string[];
  ip?: string;
}

export interface ContainerOptions extends Call {
  /** What it is made from: an Image, or the name of one in the store. */
  image: string | Image;
  /** Letters, digits and `_.-`, unique in the store. @defaultValue the first 12 digits of its id */
  name?: string;
  /** @defaultValue the image's Cmd, unless `entrypoint` is given */
  argv?: string[];
  /** Comes before `argv`. @defaultValue the image's */
  entrypoint?: string[];
  /** Added to the image's, over equal names. Nothing of this program's environment goes in. */
  env?: Record<string, string>;
  /** Absolute; made if it is missing. @defaultValue the image's, else `'/'` */
  cwd?: string;
  /** `name`, `uid`, `name:group` or `uid:gid`, names from the image's own files. @defaultValue the image's, else `'0'` */
  user?: string;
  tty?: Tty;
  /** `'pipe'` lets `attach()` write to it. @defaultValue `'ignore'`: empty */
  stdin?: 'pipe' | 'ignore';
  init?: boolean;
  /** @defaultValue the first 12 digits of its id */
  hostname?: string;
  labels?: Labels;
  mounts?: Mount[];
  /** @defaultValue `'none'`: a network namespace of its own with nothing but loopback. `'host'` needs root */
  networks?:
    (Network | NetworkAttachmentOptions)[] | 'none' | 'bridge' | 'host' | `container:${string}`;
  publish?: PublishSpec[];
  egress?: EgressPolicy;
  /** What /etc/resolv.conf says. */
  dns?: { servers?: string[]; search?: string[]; options?: string[] };
  /** Name to address, added to /etc/hosts. */
  extraHosts?: Record<string, string>;
  limits?: Limits;
  cgroupParent?: string;
  /** @defaultValue `'default'`: Docker's */
  security?: 'default' | 'strict' | 'privileged' | SecurityOptions;
  health?: HealthCheck;
  ready?: Ready;
  restart?: RestartPolicy;
  /** @defaultValue `{ type: 'file', maxBytes: '16MiB', files: 3 }` */
  log?: LogDriver;
  /** From the start of the process; then the whole container is killed. @defaultValue none; so does 0 */
  timeoutMs?: number;
  detached?: boolean;
  /** Remove it when it has ended. @defaultValue `false` */
  autoRemove?: boolean;
  files?: Record<string, FileContent>;
}

export type Encoding = 'utf8' | 'buffer';

/** What `run`, `exec` and `spawn` start. */
export interface ExecOptions<E extends Encoding = 'utf8'> extends Call {
  /** Added to the container's, over equal names. */
  env?: Record<string, string>;
  /** Absolute. @defaultValue the container's */
  cwd?: string;
  /** @defaultValue the container's */
  user?: string;
  /** All of its stdin. @defaultValue empty */
  input?: string | Uint8Array | Readable;
  /** From the start of the process; then its whole tree is killed. @defaultValue none; so does 0 */
  timeoutMs?: number;
  /** Of stdout and of stderr each; what comes after is dropped and `truncated` says so. @defaultValue 16 MiB */
  maxOutputBytes?: number;
  /** @defaultValue `'utf8'` */
  encoding?: E;
  /** Reject with an ExecError unless it exits with 0. @defaultValue `false` */
  check?: boolean;
  privileged?: boolean;
}

export interface SpawnOptions extends Call {
  env?: Record<string, string>;
  cwd?: string;
  user?: string;
  tty?: Tty;
  /** @defaultValue `'pipe'` */
  stdin?: 'pipe' | 'ignore';
  timeoutMs?: number;
  privileged?: boolean;
}

/** One set of options for the container and its one process. */
export type RunOptions<E extends Encoding = 'utf8'> = Omit<
  ContainerOptions,
  'image' | 'argv' | 'detached' | 'restart' | 'ready' | 'tty' | 'stdin' | 'autoRemove' | 'log'
> &
  Omit<ExecOptions<E>, 'privileged'>;

export interface StopOptions {
  /** Sent to pid 1 first. @defaultValue the image's StopSignal, else `'SIGTERM'` */
  stopSignal?: NodeJS.Signals;
  /** How long pid 1 has, in milliseconds; 0 kills at once. @defaultValue `10_000` */
  graceMs?: number;
  signal?: AbortSignal;
}

export interface WaitOptions extends Call {
  /** @defaultValue `'exit'` */
  until?: 'exit' | 'running' | 'healthy' | 'removed';
}

export interface RemoveOptions {
  /** Kill it first if it runs. @defaultValue `false` */
  force?: boolean;
  volumes?: boolean;
}
