import type { RuntimeParts } from '../runtime/parts.js';
import type { Supervisor } from '../runtime/supervisor.js';
import { together } from '../store/files.js';
import type { Supervised } from './supervise.js';

const KEY = Symbol('caisson.containers');

/** How a container is taken away at the end of its Runtime; set by remove.ts, which lies above. */
interface Ends {
  /** At the end of its Runtime. */
  remove(core: Supervised): Promise<void>;
  /** When its supervisor is lost: it is gone already. */
  forget(core: Supervised): Promise<void>;
}
const nothing = (): Promise<void> => Promise.resolve();
let ends: Ends = { remove: nothing, forget: nothing };

export function endContainersWith(how: Ends): void {
  ends = how;
}

/** The containers that a Runtime answers for, by id. Its `close` removes them. */
export function supervisedOf(parts: RuntimeParts): Map<string, Supervised> {
  return parts.slot(KEY, () => {
    const containers = new Map<string, Supervised>();
    parts.onClose(async () => {
      await together([...containers.values()].map((core) => ends.remove(core)));
    });
    return containers;
  });
}

/** Supervisors whose loss is the loss of their containers. */
const watched = new WeakSet<Supervisor>();

export function addSupervised(added: Supervised): void {
  const { parts, supervisor } = added;
  const containers = supervisedOf(parts);
  containers.set(added.id, added);
  if (watched.has(supervisor)) return;
  watched.add(supervisor);
  void supervisor.gone.then(() => {
    for (const core of containers.values()) {
      if (core.supervisor === supervisor) parts.background(ends.forget(core));
    }
  });
}
