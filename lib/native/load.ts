import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { packageRoot } from './package-root.js';
import type { Binding } from './types.js';

/** The two native files, from one folder, so that they belong together. */
export interface Native {
  readonly binding: Binding;
  /** Absolute path of the supervisor executable. */
  readonly supervisor: string;
}

let loaded: Native | undefined;

/**
 * Loads the native part: from `CAISSON_NATIVE_DIR` alone when that is set, else from the package's
 * prebuilt files, else from where cmake-js and node-gyp leave theirs.
 *
 * @throws {@link CaissonError} `ERR_NATIVE_MISSING` saying where it looked and what to do.
 */
export function loadNative(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  const folders = nativeFolders();
  let reason: string | undefined;
  let cause: unknown;
  for (const folder of folders) {
    const addon = join(folder, 'caisson.node');
    const supervisor = join(folder, 'caisson-supervisor');
    if (!existsSync(addon) || !existsSync(supervisor)) continue;
    try {
      return { binding: createRequire(addon)(addon) as Binding, supervisor };
    } catch (error) {
      // Made for another machine: one that was built here may follow.
      reason ??= (error as Error).message;
      cause ??= error;
    }
  }
  throw new CaissonError(
    'ERR_NATIVE_MISSING',
    { tried: folders, ...(reason === undefined ? {} : { reason }) },
    { cause },
  );
}

function nativeFolders(): string[] {
  const asked = process.env['CAISSON_NATIVE_DIR'];
  if (asked !== undefined && asked !== '') return [asked];
  const root = packageRoot();
  return [
    join(root, 'prebuilds', `${process.platform}-${process.arch}`),
    join(root, 'build', 'cmake', 'Release'),
    join(root, 'build', 'Release'),
  ];
}
