import { loadavg, availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const emulated = process.env['CGROUP2_VM'] === '1';

/** How often to do again what once would nearly do: in the emulated machine a fourth as often. */
export const times = (count: number): number => (emulated ? Math.ceil(count / 4) : count);

/** A second; on a machine whose processors are wanted by more programs than there are, as many times longer. */
export function second(): number {
  return 1_000 * (emulated ? 5 : 1) * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** So many of these seconds as a `timeoutMs`: whole milliseconds. */
export const timeoutMs = (seconds: number): number => Math.ceil(seconds * second());

/**
 * Waits until `look` finds nothing; what it still finds after `ms` is the failure, which also says whether it
 * was only late.
 */
export async function nothingOf(look: () => readonly string[], ms = second()): Promise<void> {
  const begin = performance.now();
  const goneAfter = async (patience: number): Promise<number | undefined> => {
    for (;;) {
      if (look().length === 0) return performance.now() - begin;
      if (performance.now() - begin > patience) return undefined;
      await sleep(20);
    }
  };
  if ((await goneAfter(ms)) !== undefined) return;
  const left = look().join('\n  ');
  const late = await goneAfter(ms + 10_000);
  const end = late === undefined ? 'and stays' : `and was gone after ${late.toFixed()} ms`;
  throw new Error(`left behind after ${ms.toFixed()} ms, ${end}:\n  ${left}`);
}

/** Fails when `work` takes longer than any call may that has nothing to wait for. */
export async function soon<T>(work: Promise<T>, what: string, ms = 5 * second()): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`still pending: ${what}`));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
