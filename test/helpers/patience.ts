import { loadavg, availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** A second; on a machine whose processors are wanted by more programs than there are, as many times longer. */
export function second(): number {
  const emulated = process.env['CGROUP2_VM'] === '1' ? 5 : 1;
  return 1_000 * emulated * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** Waits until `look` finds nothing; what it still finds after `ms` is the failure. */
export async function nothingOf(look: () => readonly string[], ms = second()): Promise<void> {
  const deadline = performance.now() + ms;
  for (;;) {
    const left = look();
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error(`left behind:\n  ${left.join('\n  ')}`);
    await sleep(20);
  }
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
