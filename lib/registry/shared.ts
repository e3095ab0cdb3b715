import { setMaxListeners } from 'node:events';
import { abortError } from '../errors/index.js';

interface Work<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
}

/**
 * Work that several callers want at once is done once. A caller that is aborted leaves; the work ends when all have
 * left. What failed is not kept, what succeeded is until `forget`.
 */
export class Shared<T> {
  #work: Work<T> | undefined;

  async get(start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const work = (this.#work ??= this.#start(start));
    work.waiting += 1;
    try {
      return await orAborted(work.result, signal);
    } finally {
      if ((work.waiting -= 1) === 0 && signal?.aborted === true) {
        work.stop.abort();
        if (this.#work === work) this.#work = undefined;
      }
    }
  }

  forget(): void {
    this.#work = undefined;
  }

  #start(start: (signal: AbortSignal) => Promise<T>): Work<T> {
    const stop = new AbortController();
    // One for each request that it makes.
    setMaxListeners(0, stop.signal);
    const work: Work<T> = { result: start(stop.signal), stop, waiting: 0 };
    work.result.catch(() => {
      if (this.#work === work) this.#work = undefined;
    });
    return work;
  }
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  let abort: (() => void) | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        abort = () => reject(abortError(signal));
        if (signal.aborted) abort();
        else signal.addEventListener('abort', abort, { once: true });
      }),
    ]);
  } finally {
    if (abort !== undefined) signal.removeEventListener('abort', abort);
  }
}
