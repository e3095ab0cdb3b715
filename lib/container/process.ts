import type { Readable, Writable } from 'node:stream';
import type { ExitInfo } from './exit-info.js';

/** A process in a container, with its streams. Disposing it kills it (an attached one is only let go). */
export interface Process extends AsyncDisposable {
  readonly id: string;
  /** On the host; -1 when it had ended before it could be read. */
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  /** Null with a terminal: it is one with stdout. */
  readonly stderr: Readable | null;
  /** How it ended. Never rejects. Reading it keeps the program alive until then. */
  readonly exited: Promise<ExitInfo>;
  /** @defaultValue `'SIGTERM'`; `'SIGKILL'` kills its whole tree */
  kill(signal?: NodeJS.Signals): void;
  resize(size: { columns: number; rows: number }): void;
}
