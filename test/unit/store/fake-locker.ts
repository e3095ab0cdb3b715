import { closeSync, existsSync, openSync } from 'node:fs';
import { resolve } from 'node:path';
import type { FileLock } from '../../../lib/native/types.js';
import type { Locker } from '../../../lib/store/index.js';

interface Waiter {
  readonly mode: 'shared' | 'exclusive';
  readonly grant: () => void;
}

/** flock(2) within one process, without the addon: files are made, waiting is first come first served. */
export class FakeLocker implements Locker {
  readonly #held = new Map<string, { mode: 'shared' | 'exclusive'; count: number }>();
  readonly #waiting = new Map<string, Waiter[]>();

  async lock(name: string, mode: 'shared' | 'exclusive', wait: boolean): Promise<FileLock | null> {
    const path = resolve(name);
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
    if (!this.#take(path, mode)) {
      if (!wait) return null;
      await new Promise<void>((grant) => {
        this.#waiting.set(path, [...(this.#waiting.get(path) ?? []), { mode, grant }]);
      });
    }
    let released = false;
    return {
      release: () => {
        if (!released) this.#release(path);
        released = true;
      },
    };
  }

  #take(path: string, mode: 'shared' | 'exclusive'): boolean {
    const held = this.#held.get(path);
    if (held === undefined) this.#held.set(path, { mode, count: 1 });
    else if (held.mode === 'shared' && mode === 'shared') held.count += 1;
    else return false;
    return true;
  }

  #release(path: string): void {
    const held = this.#held.get(path)!;
    held.count -= 1;
    if (held.count > 0) return;
    this.#held.delete(path);
    const waiting = this.#waiting.get(path) ?? [];
    while (waiting[0] !== undefined && this.#take(path, waiting[0].mode)) waiting.shift()?.grant();
  }
}
