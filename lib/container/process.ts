import type { Readable, Writable } from 'node:stream';
import type { ExitInfo } from './exit-info.js';

/** A process in a container, with its streams. Disposing it kills it (an attached one is only let go). */
export interface Process extends AsyncDisposable {
  /** For `getProcess`; of an attached one the container's. */
  readonly id: string;
  /** On the host; -1 when it had ended before it could be read. */
  readonly pid: number;
  /** Its end is the process's end of input: on a terminal the key for that (Ctrl-D). Null without a pipe. */
  readonly stdin: Writable | null;
  /** Bytes. One that nobody reads stops a spawned process that goes on writing; an attached one's comes from the log. */
  readonly stdout: Readable;
  /** Null with a terminal: it is one with stdout, and all three are one stream. */
  readonly stderr: Readable | null;
  /** How it ended. Never rejects. Reading it keeps the program alive until then. */
  readonly exited: Promise<ExitInfo>;
  /**
   * Sends a signal; `'SIGKILL'` kills its whole tree. What has ended is left alone.
   * @defaultValue `'SIGTERM'`
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` for what is no signal's name
   */
  kill(signal?: NodeJS.Signals): void;
  /**
   * Changes the size of its terminal; the foreground job gets SIGWINCH.
   * @throws {@link CaissonError} `ERR_UNSUPPORTED` without a terminal, `ERR_INVALID_ARGUMENT`
   */
  resize(size: { columns: number; rows: number }): void;
}
