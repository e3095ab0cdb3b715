/** What the addon exports. A unit test compares names and arities with the built addon. */
export interface Binding {
  /** Protocol version the addon was built for; must equal PROTOCOL_VERSION. */
  readonly protocolVersion: number;
  readonly Channel: new (options: ChannelOptions) => Channel;
  /**
   * Opens (creating, 0600) and takes an advisory lock (flock(2)) on a file, or on a folder
   * that exists, off the event loop.
   * The lock dies with the process; `release()` is idempotent.
   */
  lock(path: string, mode: 'shared' | 'exclusive', wait: boolean): Promise<FileLock | null>;
  /** Host pid behind a pidfd, from /proc/self/fdinfo; -1 when the process has been reaped. */
  pidOf(pidfd: number): number;
  /**
   * A kernel pipe, both ends close-on-exec; `local` is non-blocking. `bytes` asks for a buffer size
   * (F_SETPIPE_SZ, best effort). `remote` is to be closed by `closeFd` or by what it is sent with; the
   * end of a worker closes it otherwise.
   */
  pipe(direction: 'toChild' | 'fromChild', bytes?: number): { local: number; remote: number };
  closeFd(fd: number): void;
  /**
   * The master of a pseudo-terminal, which must not block. `fd` is duplicated. `onData` gets what was read, and null
   * when nobody holds the other end any more; `onDrain` is called when there is room again for what `write` did not
   * take. Starts paused.
   */
  readonly Terminal: new (
    fd: number,
    onData: (bytes: Buffer | null) => void,
    onDrain: () => void,
  ) => NativeTerminal;
}

/** Keeps the event loop alive while it reads or waits for room. After `close` everything is silent and does nothing. */
export interface NativeTerminal {
  resume(): void;
  pause(): void;
  /** How many bytes were taken: all of them, when nobody will read them any more. */
  write(bytes: Uint8Array): number;
  /** What to type as the end of input (VEOF, twice within a line), when `last` was typed last; -1: nothing was. */
  eof(last: number): Uint8Array;
  resize(columns: number, rows: number): void;
  /** Reads what is there, up to 64 KiB, and closes. */
  finish(): Buffer;
  /** Idempotent. Hangs up, if it was the last descriptor of the master. */
  close(): void;
}

export interface FileLock {
  release(): void;
}

export interface ChannelOptions {
  /** Absolute path of the supervisor executable. */
  supervisor: string;
  /** argv after the program name. */
  args: readonly string[];
  /** Every message but those that belong to a `collect` call. `fds` are lent: they are closed when it returns. */
  onMessage(type: number, id: number, body: Uint8Array, fds: readonly number[]): void;
  /** Once, when the supervisor is gone: everything in flight is lost. Exit status of the bootstrap process where known. */
  onClose(status: { exitCode: number | null; signal: number | null }): void;
}

/**
 * A supervisor process and the seqpacket channel to it. Constructing spawns it (vfork-like, no copy
 * of this process), with fd 3 = channel, fd 4 = a pidfd of this process, empty environment.
 */
export interface Channel {
  /** Host pid of the bootstrap process. */
  readonly pid: number;
  /**
   * Sends one request; never blocks, queues when the socket is full. Descriptors are duplicated into
   * the message; those in `closeFds` are closed here once it was handed to the kernel (or dropped).
   */
  send(
    type: number,
    id: number,
    body: Uint8Array,
    fds: readonly number[],
    closeFds: readonly number[],
  ): void;
  /**
   * Sends a Launch or Exec whose output is collected natively: makes the pipes, sends their far ends
   * as the descriptors 0 (when `input` is not null), 1 and 2, writes `input`, reads both outputs up to
   * `maxOutputBytes` each (the rest is read and dropped, `truncated`), and calls `done` exactly once
   * when Exited or Failed has come **and** both outputs have ended, or the channel closed (`type` 0).
   * Started messages of this id go to onMessage. `input` as a number is a descriptor to pass as it is.
   */
  collect(
    type: number,
    id: number,
    body: Uint8Array,
    input: Uint8Array | number | null,
    maxOutputBytes: number,
    done: (
      type: number,
      body: Uint8Array,
      stdout: Uint8Array,
      stderr: Uint8Array,
      truncated: boolean,
    ) => void,
  ): void;
  /** What a running `collect` has so far (for an abort); null when unknown. Stops waiting for the ends of its outputs. */
  abandon(id: number): { stdout: Uint8Array; stderr: Uint8Array; truncated: boolean } | null;
  /** Closes our end: the supervisor undoes everything and ends. Idempotent. */
  close(): void;
  /** While referenced, the channel keeps the event loop alive. Starts unreferenced; counts. */
  ref(): void;
  unref(): void;
}
