import { Socket } from 'node:net';
import { Readable } from 'node:stream';

const HIGH_WATER_BYTES = 64 * 1024;
/** What is still in a pipe of ours after its writers have gone is less. */
const MOST_AFTER_END_BYTES = 1024 * 1024;

/**
 * The output of a process as a stream. The pipe is read as the stream is: a reader that stops stops the
 * writer. When the process has ended the rest is taken into memory, so that a stream nobody reads
 * keeps no descriptor open, and whoever reads it later finds everything.
 */
export class PipeReader extends Readable {
  readonly #socket: Socket;
  #ended = false;

  constructor(fd: number) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#socket = new Socket({ fd, readable: true, writable: false });
    this.#socket.pause();
    // Keeps the program alive only while somebody waits for more.
    this.#socket.unref();
    this.#socket.on('data', (chunk: Buffer) => {
      if (this.push(chunk) || this.#mayHoldMore()) return;
      this.#socket.pause();
      this.#socket.unref();
    });
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('error', (error) => this.destroy(error));
  }

  /** The process has ended. */
  processEnded(): void {
    this.#ended = true;
    if (!this.destroyed && this.#mayHoldMore()) this.#socket.resume();
  }

  override _read(): void {
    this.#socket.ref();
    this.#socket.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #mayHoldMore(): boolean {
    return this.#ended && this.readableLength < MOST_AFTER_END_BYTES;
  }
}
