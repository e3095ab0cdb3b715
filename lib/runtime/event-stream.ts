import { abortError } from '../errors/index.js';
import type { RuntimeEvent } from './parts.js';
import type { EventsRequest } from './request.js';

/** Events that nobody has taken yet; beyond it the oldest are dropped, so that none can pile up. */
const MAX_WAITING = 1024;

/** Calls `listener` with each event, until what it returns is called. */
type Listen = (listener: (event: RuntimeEvent) => void) => () => void;

type Step = IteratorResult<RuntimeEvent, undefined>;

const DONE: Step = { done: true, value: undefined };

/** A sequence of events, from this call on, until the Runtime closes, an abort, or the caller stops. */
export function eventStream(
  request: EventsRequest,
  listen: Listen,
): AsyncIterableIterator<RuntimeEvent, undefined> {
  const events = new WaitingEvents(request, listen);
  const stream: AsyncIterableIterator<RuntimeEvent, undefined> = {
    next: () => events.take(),
    return() {
      events.end();
      return Promise.resolve(DONE);
    },
    [Symbol.asyncIterator]: () => stream,
  };
  dropped.register(stream, events);
  return stream;
}

/** One that nobody holds any more, iterated or not, listens for nobody. */
const dropped = new FinalizationRegistry<WaitingEvents>((events) => {
  events.end();
});

/** What listens: it never refers to its stream, or that could not be collected. */
class WaitingEvents {
  readonly #request: EventsRequest;
  readonly #events: RuntimeEvent[] = [];
  readonly #askers: { resolve(step: Step): void; reject(error: unknown): void }[] = [];
  readonly #stopListening: (() => void) | undefined;
  #ended = false;
  /** An abort that nobody was told of yet. */
  #aborted = false;

  constructor(request: EventsRequest, listen: Listen) {
    this.#request = request;
    const { signal } = request;
    if (signal?.aborted === true) {
      this.#onAbort();
      return;
    }
    signal?.addEventListener('abort', this.#onAbort);
    this.#stopListening = listen((event) => {
      this.#add(event);
    });
  }

  async take(): Promise<Step> {
    const { signal } = this.#request;
    if (this.#aborted && signal !== undefined) {
      this.#aborted = false;
      throw abortError(signal);
    }
    const value = this.#events.shift();
    if (value !== undefined) return { done: false, value };
    if (this.#ended) return DONE;
    return await new Promise((resolve, reject) => this.#askers.push({ resolve, reject }));
  }

  /** No more of them, and those that wait are for nobody. */
  end(): void {
    this.#events.length = 0;
    this.#aborted = false;
    this.#stop();
  }

  #add(event: RuntimeEvent): void {
    if (matches(this.#request, event)) {
      const asker = this.#askers.shift();
      if (asker !== undefined) asker.resolve({ done: false, value: event });
      else if (this.#events.push(event) > MAX_WAITING) this.#events.shift();
    }
    if (event.type === 'close') this.#stop();
  }

  readonly #onAbort = (): void => {
    const { signal } = this.#request;
    this.#events.length = 0;
    const asker = this.#askers.shift();
    if (asker === undefined || signal === undefined) this.#aborted = true;
    else asker.reject(abortError(signal));
    this.#stop();
  };

  #stop(): void {
    this.#ended = true;
    this.#stopListening?.();
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
    for (const asker of this.#askers.splice(0)) asker.resolve(DONE);
  }
}

function matches({ types, id }: EventsRequest, event: RuntimeEvent): boolean {
  return (types === undefined || types.has(event.type)) && (id === undefined || event.id === id);
}
