import { throwIfAborted } from '../errors/index.js';
import { together } from '../store/files.js';

/** So many at once, in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      throwIfAborted(signal);
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/**
 * What `begin` has begun, at once: the first failure stops the others by the signal that it is given, and is told when
 * nothing goes on any more.
 */
export async function allOrNone<T>(
  signal: AbortSignal | undefined,
  begin: (signal: AbortSignal) => readonly Promise<T>[],
): Promise<T[]> {
  const stop = new AbortController();
  const work = begin(signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]));
  for (const one of work) one.catch((error: unknown) => stop.abort(error));
  try {
    await together(work);
  } catch (error) {
    throwIfAborted(signal);
    // The first failure, not that of one that was stopped for it.
    throw stop.signal.aborted ? stop.signal.reason : error;
  }
  return await Promise.all(work);
}
