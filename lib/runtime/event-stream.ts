import { abortError } from '../errors/index.js';
import type { RuntimeEvent } from './parts.js';
import type { EventsRequest } from './request.js';

/** Events that nobody has taken yet; beyond it the oldest are dropped, so that none can pile up. */
const MAX_WAITING = 1024;

type Listen = (listener: (event: RuntimeEvent) => void) => () => void;

/** An endless sequence of events, from now on, until the Runtime closes or the caller stops. */
export async function* eventStream(
  request: EventsRequest,
  listen: Listen,
): AsyncGenerator<RuntimeEvent, void, void> {
  const { signal } = request;
  const waiting: RuntimeEvent[] = [];
  let wake: (() => void) | undefined;
  const state = { closed: false };

  const stopListening = listen((event) => {
    if (event.type === 'close') state.closed = true;
    if (matches(request, event)) waiting.push(event);
    if (waiting.length > MAX_WAITING) waiting.shift();
    wake?.();
  });
  const onAbort = (): void => wake?.();
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      if (signal?.aborted === true) throw abortError(signal);
      const event = waiting.shift();
      if (event !== undefined) yield event;
      else if (state.closed) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stopListening();
    signal?.removeEventListener('abort', onAbort);
  }
}

function matches({ types, id }: EventsRequest, event: RuntimeEvent): boolean {
  return (types === undefined || types.has(event.type)) && (id === undefined || event.id === id);
}
