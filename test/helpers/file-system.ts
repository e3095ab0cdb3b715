import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { tempStore, type TempStore } from './temp.js';

/** A file system mounted by root in a folder of the test's own. */
export interface Mounted extends AsyncDisposable {
  /** With another one of its options, such as `ro`. */
  remount(options: string): void;
}

export function mountAt(folder: string, type: string, options = 'defaults'): Mounted {
  execFileSync('mount', ['-t', type, '-o', options, 'none', folder], { stdio: 'pipe' });
  return {
    remount(changed) {
      execFileSync('mount', ['-o', `remount,${changed}`, folder], { stdio: 'pipe' });
    },
    [Symbol.asyncDispose]: () => unmount(folder),
  };
}

/** Not lazily: whoever still holds something open there has left something behind. */
async function unmount(folder: string): Promise<void> {
  const deadline = performance.now() + 2_000;
  for (;;) {
    try {
      execFileSync('umount', [folder], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

export interface SmallStore extends TempStore {
  /** Takes every byte that is left. */
  fill(): void;
  /** Gives back what `fill` took. */
  free(): void;
}

/** A store on a tmpfs of its own, by default of 8 MiB. */
export async function smallStore(size = 'size=8m'): Promise<SmallStore> {
  const store = await tempStore();
  const mounted = mountAt(store.root, 'tmpfs', `mode=0700,${size}`);
  // Of a hidden name: no part of a store, and nothing that would make the folder somebody else's.
  const filler = join(store.root, '.filler');
  return {
    ...store,
    fill() {
      writeFileSync(filler, '');
      for (const bytes of [1 << 20, 4096, 1]) fillWith(filler, Buffer.alloc(bytes, 'x'));
    },
    free() {
      rmSync(filler);
    },
    async [Symbol.asyncDispose]() {
      await mounted[Symbol.asyncDispose]();
      await store.remove();
    },
  };
}

function fillWith(path: string, piece: Buffer): void {
  const file = openSync(path, 'a');
  try {
    for (;;) if (writeSync(file, piece) < piece.length) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
