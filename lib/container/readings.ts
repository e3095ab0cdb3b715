import { CaissonError } from '../errors/index.js';
import type { Supervised } from './supervise.js';

/** A look at the files of a container. They stay until it has ended. */
export interface Reading {
  /** Aborted by the caller's own, or when the container is to be removed. */
  readonly signal: AbortSignal;
  /** What to tell in place of an abort that was not the caller's. */
  explain(error: unknown): unknown;
  /** Twice is silent. */
  end(): void;
}

interface Held {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

const readings = new WeakMap<Supervised, Set<Held>>();

/** `action`: as in `cannot <action>`. */
export function beginReading(core: Supervised, action: string, signal?: AbortSignal): Reading {
  core.parts.assertOpen(action);
  const removed = (): CaissonError =>
    new CaissonError('ERR_CONTAINER_REMOVED', { container: core.name, action });
  if (core.state.status === 'removed' || core.removing !== undefined) throw removed();
  const stop = new AbortController();
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const held = { stop, ended };
  let all = readings.get(core);
  if (all === undefined) readings.set(core, (all = new Set()));
  all.add(held);
  return {
    signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
    explain: (error) => (stop.signal.aborted && signal?.aborted !== true ? removed() : error),
    end() {
      all.delete(held);
      end();
    },
  };
}

/** Before its files go. */
export async function endReadings(core: Supervised): Promise<void> {
  const all = [...(readings.get(core) ?? [])];
  for (const { stop } of all) stop.abort();
  await Promise.all(all.map(({ ended }) => ended));
}
