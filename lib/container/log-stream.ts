import { Readable } from 'node:stream';
import { LogFollower, type LogSource } from './log-follower.js';
import type { LogRecord } from './log-records.js';

/**
 * One of the two outputs that a log holds. Each follows the log by itself: a reader that stops holds up
 * nobody else. Nothing is open before somebody reads.
 */
export class LogStream extends Readable {
  readonly #source: LogSource;
  readonly #stream: LogRecord['stream'];
  #follower: Promise<LogFollower | null> | undefined;
  #wanted = false;
  #filling = false;

  constructor(source: LogSource, stream: LogRecord['stream']) {
    super();
    this.#source = source;
    this.#stream = stream;
  }

  override _read(): void {
    this.#wanted = true;
    if (this.#filling) return;
    this.#filling = true;
    this.#fill().catch((error: unknown) => this.destroy(error as Error));
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const close = async (): Promise<void> => {
      const follower = await this.#follower;
      await follower?.close();
    };
    // What it was destroyed for counts, not what went wrong at closing.
    close().then(
      () => {
        done(error);
      },
      () => {
        done(error);
      },
    );
  }

  async #fill(): Promise<void> {
    this.#follower ??= LogFollower.open(this.#source);
    const follower = await this.#follower;
    while (this.#wanted) {
      const records = follower === null ? null : await follower.next();
      if (this.destroyed) return;
      if (records === null) {
        this.push(null);
        return;
      }
      for (const { stream, data } of records) {
        if (stream !== this.#stream) continue;
        // A push asks for more where there is room for more.
        this.#wanted = false;
        this.push(data);
      }
    }
    this.#filling = false;
  }
}
