import { describe, expect, test } from 'vitest';
import { failedOperation, operation } from '../../../lib/image/operation.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('an operation', () => {
  test('is a promise of what its work gives; what then gives is a plain one', async () => {
    const running = operation<number, never>(() => Promise.resolve(7));
    expect(running).toBeInstanceOf(Promise);
    expect(running.then((value) => value).constructor).toBe(Promise);
    expect(await running).toBe(7);
  });

  test('starts at once, and nobody has to iterate', async () => {
    let begun = false;
    const running = operation<undefined, number>((tell) => {
      begun = true;
      for (let i = 0; i < 10_000; ++i) tell('a', i);
      return Promise.resolve(undefined);
    });
    await turn();
    expect(begun).toBe(true);
    await running;
  });

  test('events of an item replace each other until somebody reads; the last of each is not lost', async () => {
    const seen: string[] = [];
    const running = operation<string, string>(async (tell) => {
      tell('a', 'a1');
      tell('b', 'b1');
      tell('a', 'a2');
      await turn();
      await turn();
      tell('b', 'b2');
      tell('b', 'b3');
      return 'done';
    });
    await turn();
    for await (const event of running) seen.push(event);
    expect(seen).toEqual(['a2', 'b1', 'b3']);
    expect(await running).toBe('done');
    // Who comes late hears how it ended.
    const late: string[] = [];
    for await (const event of running) late.push(event);
    expect(late).toEqual(['a2', 'b3']);
  });

  test('several may iterate, each on his own', async () => {
    const running = operation<undefined, number>(async (tell) => {
      for (let i = 0; i < 3; ++i) {
        tell('a', i);
        await turn();
      }
      return undefined;
    });
    const all = async (): Promise<number[]> => {
      const seen = [];
      for await (const event of running) seen.push(event);
      return seen;
    };
    const [a, b] = await Promise.all([all(), all()]);
    expect(a.at(-1)).toBe(2);
    expect(b.at(-1)).toBe(2);
  });

  test('break ends the iteration and nothing else', async () => {
    let ended = false;
    const running = operation<undefined, number>(async (tell) => {
      tell('a', 1);
      await turn();
      await turn();
      ended = true;
      return undefined;
    });
    for await (const _ of running) break;
    expect(ended).toBe(false);
    await running;
    expect(ended).toBe(true);
  });

  test('iterating throws what awaiting throws, after what was told', async () => {
    const running = operation<undefined, number>(async (tell) => {
      tell('a', 1);
      await turn();
      throw new Error('no');
    });
    const seen: number[] = [];
    await expect(
      (async () => {
        for await (const event of running) seen.push(event);
      })(),
    ).rejects.toThrow('no');
    expect(seen).toEqual([1]);
    await expect(running).rejects.toThrow('no');
  });

  test('a failure that nobody awaits or iterates surfaces, once', async () => {
    const heard: unknown[] = [];
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    const listen = (error: unknown): void => void heard.push(error);
    process.on('unhandledRejection', listen);
    try {
      const error = new Error('unseen');
      void operation(() => Promise.reject(error));
      void failedOperation(error);
      await turn();
      await turn();
      expect(heard).toEqual([error, error]);
    } finally {
      process.off('unhandledRejection', listen);
      for (const one of listeners) process.on('unhandledRejection', one);
    }
  });

  test('work that throws at once rejects', async () => {
    const running = operation(() => {
      throw new TypeError('at once');
    });
    await expect(running).rejects.toThrow('at once');
  });
});
