import type { RuntimeParts } from '../runtime/parts.js';
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
    void parts.supervisor.gone.then(() => {
      for (const core of containers.values()) {
        parts.background(ends.forget(core));
      }
    });
    return containers;
  });
}
