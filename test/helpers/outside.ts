import { partsOf } from '../../lib/runtime/runtime.js';
import type { Supervisor } from '../../lib/runtime/supervisor.js';
import type { ContainerOptions, Runtime } from '../../lib/index.js';
import { pids, read } from './chaos.js';
import { limitable } from './limitable.js';
import { nothingOf, second } from './patience.js';

/** In the machine's pid namespace. */
export const OUTSIDE = { security: { pid: 'host' } } as const satisfies Partial<ContainerOptions>;

/** Whether containers have groups, without which nobody could end one for certain. */
export const endable = limitable('freeze');

let marks = 0;

/** Seconds for a `sleep` that nobody else says: its processes are known by it, wherever they have gone. */
export const newMark = (): string => `9${process.pid}${String((marks += 1)).padStart(2, '0')}`;

/** What runs on this machine as `sleep <mark>`. */
export const sleepers = (mark: string): number[] =>
  pids().filter((pid) => read(`/proc/${pid}/cmdline`) === `sleep\0${mark}\0`);

/** Three of them: itself, what it started, and what has left its session and its parents. */
export const brood = (mark: string): Partial<ContainerOptions> => ({
  ...OUTSIDE,
  argv: ['sh', '-c', `setsid sleep ${mark} & (setsid setsid sleep ${mark} &); exec sleep ${mark}`],
});

/** The supervisor of those. */
export async function outsideOf(runtime: Runtime): Promise<Supervisor> {
  return (await (await partsOf(runtime, 'be tested')).outside()).supervisor;
}

/** Also when nobody has waited for it yet. */
export const isDead = (pid: number): boolean => /^$|^State:\s*Z/m.test(read(`/proc/${pid}/status`));

export async function until(look: () => boolean): Promise<void> {
  await nothingOf(() => (look() ? [] : ['it has not come about']), 5 * second());
}
