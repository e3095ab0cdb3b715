import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Runtime } from '../../lib/index.js';
import { partsOf } from '../../lib/runtime/runtime.js';
import { tempStore, type TempStore } from './temp.js';

/** How many times each kind of process is killed. */
export const ROUNDS = Number(process.env['CHAOS_ROUNDS'] ?? 300);

/** Printed by each test, and taken from here to see the same again. */
export const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000);

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Lane extends TempStore {
  readonly options: TempStore['options'];
  /** For the environment of containers: how their processes are known whatever they run. */
  readonly env: { readonly MARK: string };
  /** What there is of the lane's runtimes, a line each. */
  readonly remains: () => string[];
}

/** A store, a run folder and a cgroup parent that nobody else in this file uses. */
export async function chaosLane(): Promise<Lane> {
  const store = await tempStore();
  const mark = store.root;
  const cgroupParent = `${store.options.cgroupParent}-${mark.split('/').at(-2)?.split('-').at(-1)}`;
  return {
    ...store,
    options: { ...store.options, cgroupParent },
    env: { MARK: mark },
    remains: () => [
      ...processes(mark),
      ...read('/proc/self/mountinfo')
        .split('\n')
        .filter((line) => line.includes(mark)),
      ...cgroupsBelow(cgroupParent),
      ...files(store.runDir).flatMap((folder) => [folder, ...files(folder)]),
      ...['scratch', 'trash'].flatMap((part) => files(join(store.root, part))),
      ...files(join(store.root, 'containers')).filter((path) => !path.endsWith('/.names')),
    ],
  };
}

/**
 * Mount and other namespaces live as long as one of these. A zombie names nothing any more. The supervisor
 * and its hands hide their arguments: most are known by what they have mounted, the hand that stays outside
 * by its parent.
 */
function processes(mark: string): string[] {
  const found = new Map<number, string>();
  const hidden: number[] = [];
  for (const pid of pids()) {
    if (pid === process.pid) continue;
    const command = read(`/proc/${pid}/cmdline`);
    if (command.includes(mark) || read(`/proc/${pid}/environ`).includes(mark)) {
      found.set(pid, command.replaceAll('\0', ' ').slice(0, 300));
    } else if (read(`/proc/${pid}/comm`) === 'caisson\n') {
      if (read(`/proc/${pid}/mountinfo`).includes(mark)) found.set(pid, 'caisson');
      else hidden.push(pid);
    }
  }
  for (const pid of hidden) {
    const parent = /^PPid:\s*(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1];
    if (found.has(Number(parent))) found.set(pid, 'caisson, outside');
  }
  return [...found].map(([pid, command]) => `process ${pid}: ${command}`);
}

function cgroupsBelow(parent: string): string[] {
  const points = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');
  return points.flatMap((point) => folders(join(point, parent)).map((path) => `cgroup ${path}`));
}

/** The processes of a Runtime that may die. */
export interface Anatomy {
  readonly supervisor: number;
  hands(): number[];
}

export async function anatomyOf(runtime: Runtime): Promise<Anatomy> {
  const { supervisorPid } = (await partsOf(runtime, 'be tested')).supervisor.facts;
  return {
    supervisor: supervisorPid,
    // Its children in its own pid namespace: what it starts for containers is in theirs.
    hands: () => children(supervisorPid).filter((pid) => pidDepth(pid) === pidDepth(supervisorPid)),
  };
}

/** SIGKILL, to a process that may have ended. */
export function sigkill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function children(parent: number): number[] {
  return read(`/proc/${parent}/task/${parent}/children`).split(' ').filter(Boolean).map(Number);
}

function pidDepth(pid: number): number {
  return (
    /^NSpid:(.*)$/m
      .exec(read(`/proc/${pid}/status`))?.[1]
      ?.trim()
      .split(/\s+/).length ?? 0
  );
}

export function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has ended meanwhile, or is not ours to read
  }
}

function files(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function folders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [join(folder, entry.name)] : [],
    );
  } catch {
    return [];
  }
}
