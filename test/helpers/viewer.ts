import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Process } from '../../lib/index.js';
import { second } from './patience.js';

/** Somebody before a terminal: sees what it shows, and types. */
export class Viewer {
  readonly #process: Process;
  #shown = '';

  constructor(process: Process) {
    this.#process = process;
    process.stdout.on('data', (bytes: Buffer) => (this.#shown += bytes.toString('latin1')));
  }

  type(keys: string): void {
    this.#process.stdin!.write(keys);
  }

  /** Waits until `what` is shown; what came up to it is forgotten. */
  async see(what: string | RegExp): Promise<string> {
    const deadline = performance.now() + 10 * second();
    for (;;) {
      const end = endOf(what, this.#shown);
      if (end >= 0) {
        const seen = this.#shown.slice(0, end);
        this.#shown = this.#shown.slice(end);
        return seen;
      }
      const left = deadline - performance.now();
      const abort = new AbortController();
      if (left > 0 && !this.#process.stdout.readableEnded) {
        const { signal } = abort;
        await Promise.race([
          once(this.#process.stdout, 'data', { signal }),
          once(this.#process.stdout, 'end', { signal }),
          sleep(left, undefined, { signal }),
        ]).finally(() => {
          abort.abort();
        });
        continue;
      }
      throw new Error(
        `${JSON.stringify(String(what))} was not seen; shown: ${JSON.stringify(this.#shown)}`,
      );
    }
  }
}

/** Where the first occurrence of `what` ends; -1 without one. */
function endOf(what: string | RegExp, text: string): number {
  if (typeof what === 'string') {
    const at = text.indexOf(what);
    return at < 0 ? -1 : at + what.length;
  }
  const match = what.exec(text);
  return match === null ? -1 : match.index + match[0].length;
}
