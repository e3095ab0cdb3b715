import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { parseSignal, SIGKILL } from '../native/signals.js';
import type { Binding } from '../native/types.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { Supervisor } from '../runtime/supervisor.js';
import type { ExitInfo } from './exit-info.js';
import type { Process } from './process.js';
import { PipeReader } from './pipe-reader.js';
import { resizeTerminal, TerminalStream, type Terminal } from './terminal.js';

/** A process's streams: our ends of its three pipes, or the master of its terminal. */
export interface Streams {
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  readonly terminal: Terminal | null;
  /** The process has ended: nobody takes input any more, and what it wrote is all there will be. */
  processEnded(): void;
  /** Nobody will look at them. */
  destroy(): void;
}

/** With the ends to send away. */
export interface Pipes extends Streams {
  readonly remote: readonly number[];
}

/** Of a process that has started; `master` is duplicated. */
export function terminalStreams(
  binding: Binding,
  master: number,
  input: 'pipe' | 'ignore',
): Streams {
  const stream = new TerminalStream(binding, master);
  return {
    stdin: input === 'pipe' ? stream : null,
    stdout: stream,
    stderr: null,
    terminal: stream.terminal,
    processEnded() {
      stream.processEnded();
    },
    destroy() {
      stream.destroy();
    },
  };
}

/**
 * The kernel's most without a privilege, and what carries a stream as fast as a socket pair does. Memory
 * is taken as it fills. All pipes of an ordinary user together may have 64 MiB (pipe(7)): a quarter.
 */
const PIPE_BYTES = { root: 1024 * 1024, rootless: 256 * 1024 } as const;

export function openPipes(
  { binding, mode }: Pick<RuntimeParts, 'binding' | 'mode'>,
  input: 'pipe' | 'ignore',
): Pipes {
  const made: { local: number; remote: number }[] = [];
  const pipe = (
    direction: 'toChild' | 'fromChild',
    bytes?: number,
  ): { local: number; remote: number } => {
    const ends = binding.pipe(direction, bytes);
    made.push(ends);
    return ends;
  };
  const bytes = PIPE_BYTES[mode];
  try {
    const toStdin = input === 'pipe' ? pipe('toChild', bytes) : undefined;
    const [out, err] = [pipe('fromChild', bytes), pipe('fromChild')];
    return pipesOf(
      toStdin === undefined ? null : writer(toStdin.local),
      new PipeReader(out.local),
      new PipeReader(err.local),
      made.map(({ remote }) => remote),
    );
  } catch (error) {
    // Out of descriptors: those that were had are given back.
    for (const { local, remote } of made) {
      binding.closeFd(local);
      binding.closeFd(remote);
    }
    throw error;
  }
}

const writer = (fd: number): Socket => new Socket({ fd, readable: false, writable: true });

function pipesOf(
  stdin: Socket | null,
  stdout: PipeReader,
  stderr: PipeReader,
  remote: readonly number[],
): Pipes {
  return {
    stdin,
    stdout,
    stderr,
    terminal: null,
    remote,
    processEnded() {
      stdin?.destroy();
      stdout.processEnded();
      stderr.processEnded();
    },
    destroy() {
      stdin?.destroy();
      stdout.destroy();
      stderr.destroy();
    },
  };
}

interface SpawnedParts {
  readonly id: string;
  readonly pid: number;
  readonly target: number;
  readonly exited: Promise<ExitInfo>;
  readonly streams: Streams;
}

export class SpawnedProcess implements Process {
  readonly id: string;
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  readonly #supervisor: Supervisor;
  readonly #target: number;
  readonly #exited: Promise<ExitInfo>;
  readonly #streams: Streams;
  #awaited = false;
  #ended = false;

  constructor(supervisor: Supervisor, { id, pid, target, exited, streams }: SpawnedParts) {
    this.id = id;
    this.pid = pid;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
    this.#supervisor = supervisor;
    this.#target = target;
    this.#exited = exited;
    this.#streams = streams;
    void exited.then(() => (this.#ended = true));
  }

  /** Whoever looks at it waits for it, so it keeps the program alive. */
  get exited(): Promise<ExitInfo> {
    if (!this.#awaited) {
      this.#awaited = true;
      void this.#supervisor.keepAlive(this.#exited);
    }
    return this.#exited;
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    const number = parseSignal(signal, 'signal');
    if (this.#ended) return;
    if (number === SIGKILL) {
      this.#supervisor.killSoon(this.#target);
      return;
    }
    const context = { action: 'signal', container: this.id };
    // It may have ended meanwhile, which is what `exited` tells.
    this.#supervisor.sendSignal(this.#target, number, context).catch(() => undefined);
  }

  resize(size: { columns: number; rows: number }): void {
    resizeTerminal(this.#streams.terminal, size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) this.#supervisor.killSoon(this.#target);
    await this.exited;
    this.#streams.destroy();
  }
}
