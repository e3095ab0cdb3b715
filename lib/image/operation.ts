/** Something long: await it for the result, iterate it for the progress. It starts at once. */
export interface Operation<T, E> extends Promise<T>, AsyncIterable<E> {}

/** Tells how far an operation is. Events of one `item` replace each other until somebody reads them. */
export type Tell<E> = (item: string, event: E) => void;

/** What `work` does, as an Operation. Nobody iterating costs nothing. */
export function operation<T, E>(work: (tell: Tell<E>) => Promise<T>): Operation<T, E> {
  const progress = new Progress<E>();
  // A synchronous throw is a rejection like any other.
  const done = Promise.resolve().then(() => work((item, event) => progress.tell(item, event)));
  const running = Running.of<T, E>(done, progress);
  const end = (): void => progress.end();
  done.then(end, end);
  return running;
}

/** One that failed before it began. Nobody awaiting it, the failure still surfaces. */
export const failedOperation = <T, E>(error: unknown): Operation<T, E> =>
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- passed on as it is
  Running.of<T, E>(Promise.reject<T>(error), new Progress<E>(true));

class Running<T, E> extends Promise<T> implements Operation<T, E> {
  #progress!: Progress<E>;

  /** What `then` gives is a plain Promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  static of<T, E>(done: Promise<T>, progress: Progress<E>): Running<T, E> {
    const running = new Running<T, E>((resolve, reject) => {
      done.then(resolve, reject);
    });
    running.#progress = progress;
    return running;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<E> {
    // Who iterates hears of a failure here.
    this.catch(() => undefined);
    yield* this.#progress;
    await this;
  }
}

/** The last event of each item, for each who reads; what was told before somebody reads is not lost to him. */
class Progress<E> implements AsyncIterable<E> {
  readonly #last = new Map<string, E>();
  readonly #readers = new Set<Reader<E>>();
  #ended: boolean;

  constructor(ended = false) {
    this.#ended = ended;
  }

  tell(item: string, event: E): void {
    this.#last.set(item, event);
    for (const reader of this.#readers) reader.take(item, event);
  }

  end(): void {
    this.#ended = true;
    for (const reader of this.#readers) reader.wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<E> {
    const reader = new Reader(this.#last);
    this.#readers.add(reader);
    try {
      for (;;) {
        yield* reader.drain();
        if (this.#ended && reader.isEmpty) return;
        if (!this.#ended) await reader.wait();
      }
    } finally {
      this.#readers.delete(reader);
    }
  }
}

class Reader<E> {
  readonly #waiting: Map<string, E>;
  #wake: (() => void) | undefined;

  constructor(begin: ReadonlyMap<string, E>) {
    this.#waiting = new Map(begin);
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  take(item: string, event: E): void {
    this.#waiting.set(item, event);
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  async wait(): Promise<void> {
    if (!this.isEmpty) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  *drain(): Iterable<E> {
    for (const [item, event] of this.#waiting) {
      this.#waiting.delete(item);
      yield event;
    }
  }
}
