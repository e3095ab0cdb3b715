// Options whose names are fixed and whose making belongs to later versions. Asking for one is
// ERR_UNSUPPORTED, never ignored.
import type { Readable } from 'node:stream';
import type { Limits } from './limits.js';

export type PublishSpec =
  number | string | { port: number; hostPort?: number; hostIp?: string; protocol?: 'tcp' | 'udp' };

export interface PublishedPort {
  port: number;
  hostPort: number;
  hostIp: string;
  protocol: 'tcp' | 'udp';
}

export interface EgressRule {
  host: string;
  ports?: number[];
}

export type EgressPolicy =
  | 'allow-all'
  | 'deny-all'
  | {
      allow?: (string | EgressRule)[];
      deny?: string[];
      decide?(r: {
        host: string;
        port: number;
        container: string;
        request?: Request;
      }): 'allow' | 'deny' | Promise<'allow' | 'deny'>;
    };

export interface HealthCheck {
  test: string[];
  intervalMs?: number;
  timeoutMs?: number;
  startPeriodMs?: number;
  retries?: number;
}

export interface RestartPolicy {
  policy: 'no' | 'on-failure' | 'always' | 'unless-stopped';
  maxRetries?: number;
}

export type FileContent =
  | string
  | Uint8Array
  | { content: string | Uint8Array | Readable; mode?: number; uid?: number; gid?: number };

export interface UpdateOptions {
  limits?: Limits;
  restart?: RestartPolicy;
}

export interface UpdatePlan {
  changes: readonly string[];
}

export interface CopyOptions {
  signal?: AbortSignal;
}

export interface Snapshot {
  readonly id: string;
  readonly name: string;
}

export interface LogEntry {
  stream: 'stdout' | 'stderr';
  time: Date;
  data: Buffer;
  cursor: string;
}

export interface Stats {
  readonly time: Date;
}

export interface Forward extends AsyncDisposable {
  readonly port: number;
  readonly host: string;
}

/** A subset of node:fs/promises inside a container. */
export interface ContainerFs {
  readFile(path: string): Promise<Buffer>;
  writeFile(path: string, data: string | Uint8Array): Promise<void>;
}

/** Which containers `list` gives: those that match all that is said. */
export interface Filter {
  /** Each of these labels, with this value. */
  labels?: Record<string, string>;
  /** A part of the name. */
  name?: string;
}
