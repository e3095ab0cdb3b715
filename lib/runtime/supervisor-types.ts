import type { CaissonError } from '../errors/index.js';
import type { CgroupMode } from '../native/protocol.js';
import type { Binding } from '../native/types.js';
import type { RawExit } from './raw-exit.js';

export interface SupervisorOptions {
  readonly binding: Binding;
  /** Absolute path of the executable. */
  readonly executable: string;
  readonly args: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** What the supervisor said of itself in its Welcome. */
export interface SupervisorFacts {
  readonly cgroupMode: CgroupMode;
  /** Bits of `Control`. */
  readonly controls: number;
  readonly supervisorPid: number;
  readonly bootstrapPid: number;
  readonly handPids: readonly number[];
  /** How many ids its user namespace has, from 0 on: 2^32 - 1 for root, 1 for an ordinary user without more. */
  readonly mappedUids: number;
  readonly mappedGids: number;
}

/** What a `launch` is told, in this order; `failed` comes instead of all others. */
export interface LaunchEvents {
  /**
   * exec has happened; the host's pid, or -1 when the process has been reaped already. `terminal`, where one was
   * asked for, is its master, lent for the call.
   */
  started?(pid: number, terminal: number | undefined): void;
  /** Of a container: somebody in it was killed for want of memory. As often as it was seen. */
  oomKilled?(): void;
  exited(exit: RawExit): void;
  failed(error: CaissonError): void;
}

export interface Collected {
  readonly exit: RawExit;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly truncated: boolean;
}
