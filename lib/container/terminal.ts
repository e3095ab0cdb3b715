import { Duplex, type Readable } from 'node:stream';
import { CaissonError } from '../errors/index.js';
import type { Binding, NativeTerminal } from '../native/types.js';
import { parseSize, type TerminalSize } from './terminal-request.js';

/** The master of a container's terminal: the side where one types. */
export class Terminal {
  readonly #native: NativeTerminal;
  /** What has not been taken yet, in order; several may type. */
  readonly #typed: { bytes: Uint8Array; readonly done: () => void }[] = [];
  #last = -1;

  /** `master` is duplicated. `onData` is told what is shown, and null at the end, once `resume` was called. */
  constructor(
    binding: Binding,
    master: number,
    onData: (bytes: Buffer | null) => void = () => undefined,
  ) {
    this.#native = new binding.Terminal(master, onData, () => {
      this.#drain();
    });
  }

  type(bytes: Uint8Array, done: () => void): void {
    this.#last = bytes.at(-1) ?? this.#last;
    this.#typed.push({ bytes, done });
    if (this.#typed.length === 1) this.#drain();
  }

  /** The key for the end of input. */
  typeEnd(done: () => void): void {
    this.type(this.#native.eof(this.#last), done);
  }

  resize({ columns, rows }: TerminalSize): void {
    this.#native.resize(columns, rows);
  }

  resume(): void {
    this.#native.resume();
  }

  pause(): void {
    this.#native.pause();
  }

  /** The process has ended: what it had still shown; then everything is closed. */
  finish(): Buffer {
    const rest = this.#native.finish();
    this.close();
    return rest;
  }

  /** What is left to be typed nobody will read. */
  close(): void {
    this.#native.close();
    this.#drain();
  }

  #drain(): void {
    for (let first = this.#typed[0]; first !== undefined; first = this.#typed[0]) {
      const taken = this.#native.write(first.bytes);
      if (taken < first.bytes.length) {
        first.bytes = first.bytes.subarray(taken);
        return;
      }
      this.#typed.shift();
      first.done();
    }
  }
}

/** `resize` of a process. One that has ended has no size any more, which is no mistake. */
export function resizeTerminal(terminal: Terminal | null, size: unknown): void {
  const parsed = parseSize(size, 'size');
  if (terminal === null) {
    const what = 'resize() of a process that was started without tty';
    throw new CaissonError('ERR_UNSUPPORTED', { what });
  }
  terminal.resize(parsed);
}

const HIGH_WATER_BYTES = 64 * 1024;

/**
 * A terminal as one stream. Its end is that of the process: what is still running on the terminal then is hung
 * up, as when a window is closed. `end()` is the key for the end of input; what is shown goes on.
 */
export class TerminalStream extends Duplex {
  readonly terminal: Terminal;
  #over = false;

  constructor(binding: Binding, master: number) {
    super({ allowHalfOpen: false, highWaterMark: HIGH_WATER_BYTES });
    this.terminal = new Terminal(binding, master, (bytes) => {
      if (bytes === null) this.#end();
      else if (!this.push(bytes)) this.terminal.pause();
    });
  }

  /** Whoever reads it later still finds everything, and no descriptor is kept open for that. */
  processEnded(): void {
    if (this.destroyed) return;
    const rest = this.terminal.finish();
    if (rest.length > 0 && !this.#over) this.push(rest);
    this.#end();
  }

  override _read(): void {
    this.terminal.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.terminal.type(chunk, done);
  }

  override _final(done: () => void): void {
    this.terminal.typeEnd(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.terminal.close();
    done(error);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.push(null);
  }
}

/**
 * The terminal of a container as one of several who look at it sees it: what it shows comes from the log, so that
 * nobody holds up the others, nor the container; what is typed goes straight to it. Destroying it changes nothing.
 */
export class AttachedTerminal extends Duplex {
  readonly #terminal: Terminal;
  readonly #shown: Readable;

  constructor(terminal: Terminal, shown: Readable) {
    super({ allowHalfOpen: false });
    this.#terminal = terminal;
    this.#shown = shown;
    shown.pause(); // before somebody listens, or it would begin to read
    shown.on('data', (bytes: Buffer) => {
      if (!this.push(bytes)) shown.pause();
    });
    shown.on('end', () => this.push(null));
    shown.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#shown.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#terminal.type(chunk, done);
  }

  override _final(done: () => void): void {
    // When it ends because the container has, there is nobody to tell.
    if (this.readableEnded) done();
    else this.#terminal.typeEnd(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#shown.destroy();
    done(error);
  }
}
