import type { Socket } from 'node:net';
import type { ExitInfo } from './exit-info.js';
import type { Terminal } from './terminal.js';

/** One start of a container, up to its end. */
export interface Run {
  /** What the supervisor calls it. */
  readonly target: number;
  /** Host pid of its pid 1; -1 when it has been reaped already. */
  readonly pid: number;
  readonly startedAt: Date;
  /** Never rejects. */
  readonly exited: Promise<ExitInfo>;
  /** Where `stdin: 'pipe'` was asked for; not with a terminal, which has its own. */
  readonly stdin: Socket | null;
  /** Where `tty` was asked for. */
  readonly terminal: Terminal | null;
}
