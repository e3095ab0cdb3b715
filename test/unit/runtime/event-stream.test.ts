import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';

import { eventStream } from '../../../lib/runtime/event-stream.js';
import type { RuntimeEvent, RuntimeEventName } from '../../../lib/runtime/parts.js';
import type { EventsRequest } from '../../../lib/runtime/request.js';

const ANY: EventsRequest = { types: undefined, id: undefined, signal: undefined };

/** A Runtime that does nothing but tell. */
class Teller {
  readonly listeners = new Set<(event: RuntimeEvent) => void>();

  readonly listen = (listener: (event: RuntimeEvent) => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  tell(id: string, type: RuntimeEventName = 'container.start'): void {
    for (const listener of [...this.listeners]) listener({ type, id, time: new Date(0) });
  }

  close(): void {
    this.tell('runtime', 'close');
  }
}

const ids = async (events: AsyncIterable<RuntimeEvent>): Promise<string[]> => {
  const seen: string[] = [];
  for await (const { id } of events) seen.push(id);
  return seen;
};

test('what happens before the first step is not lost', async () => {
  const teller = new Teller();
  const events = eventStream(ANY, teller.listen);
  teller.tell('a');
  const seen = ids(events);
  await setImmediate();
  teller.tell('b');
  teller.tell('c');
  teller.close();
  expect(await seen).toEqual(['a', 'b', 'c', 'runtime']);
  expect(teller.listeners.size).toBe(0);
});

test('only what was asked for, and the end nevertheless', async () => {
  const teller = new Teller();
  const request = { ...ANY, types: new Set(['container.exit']), id: 'b' };
  const events = eventStream(request, teller.listen);
  teller.tell('b');
  teller.tell('a', 'container.exit');
  teller.tell('b', 'container.exit');
  teller.close();
  teller.tell('b', 'container.exit');
  expect(await ids(events)).toEqual(['b']);
});

test('of many that nobody takes the newest are kept', async () => {
  const teller = new Teller();
  const events = eventStream(ANY, teller.listen);
  for (let i = 0; i < 3000; i++) teller.tell(String(i));
  teller.close();
  const seen = await ids(events);
  expect([seen.length, seen[0], seen.at(-2)]).toEqual([1024, '1977', '2999']);
});

test('return() ends it: before the first step, in a loop, while one waits', async () => {
  const teller = new Teller();
  const unused = eventStream(ANY, teller.listen);
  teller.tell('a');
  expect(await unused.return?.()).toEqual({ done: true, value: undefined });
  expect(await unused.next()).toEqual({ done: true, value: undefined });

  const left = eventStream(ANY, teller.listen);
  teller.tell('a');
  teller.tell('b');
  for await (const { id } of left) {
    expect(id).toBe('a');
    break;
  }
  expect(await ids(left)).toEqual([]);

  const waiting = eventStream(ANY, teller.listen);
  const steps = [waiting.next(), waiting.next()];
  await waiting.return?.();
  expect(await Promise.all(steps)).toMatchObject([{ done: true }, { done: true }]);
  expect(teller.listeners.size).toBe(0);
});

test('steps that are asked for at once come in order', async () => {
  const teller = new Teller();
  const events = eventStream(ANY, teller.listen);
  const steps = [events.next(), events.next(), events.next()];
  for (const id of ['a', 'b']) teller.tell(id);
  teller.close();
  const values = (await Promise.all(steps)).map(({ value }) => value?.id);
  expect(values).toEqual(['a', 'b', 'runtime']);
  expect(await events.next()).toEqual({ done: true, value: undefined });
});

test.each(['before', 'between', 'while one waits'])('an abort %s rejects once', async (when) => {
  const teller = new Teller();
  const controller = new AbortController();
  const { signal } = controller;
  if (when === 'before') controller.abort('enough');
  const events = eventStream({ ...ANY, signal }, teller.listen);
  const asked = when === 'while one waits' ? events.next() : undefined;
  if (when === 'between') teller.tell('a');
  controller.abort('enough');
  expect(teller.listeners.size).toBe(0);
  await expect(asked ?? events.next()).rejects.toMatchObject({
    name: 'AbortError',
    cause: 'enough',
  });
  expect(await events.next()).toEqual({ done: true, value: undefined });
});

test('one that is dropped stops listening when it is collected', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const teller = new Teller();
  const { signal } = new AbortController();
  const used = eventStream(ANY, teller.listen);
  void used.next();
  (() => {
    for (let i = 0; i < 10; i++) eventStream({ ...ANY, signal }, teller.listen);
  })();
  teller.tell('a');
  for (let i = 0; i < 50 && teller.listeners.size > 1; i++) {
    collect();
    await setImmediate();
  }
  expect(teller.listeners.size).toBe(1);
  await used.return?.();
});
