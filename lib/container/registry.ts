import type { RuntimeParts } from '../runtime/parts.js';
import type { Supervised } from './supervise.js';

const KEY = Symbol('caisson.containers');

/** How a container is taken away at the end of its Runtime; set by remove.ts, which lies above. */
type End = (core: Supervised) => Promise<void>;
let end: End = () => Promise.resolve();

export function endContainersWith(how: End): void {
  end = how;
}

/** The containers that a Runtime answers for, by id. Its `close` removes them. */
export function supervisedOf(parts: RuntimeParts): Map<string, Supervised> {
  return parts.slot(KEY, () => {
    const containers = new Map<string, Supervised>();
    parts.onClose(async () => {
      await Promise.all([...containers.values()].map((core) => end(core)));
    });
    return containers;
  });
}
