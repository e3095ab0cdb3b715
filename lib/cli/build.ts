import { spawnSync } from 'node:child_process';
import { packageFile } from './package-files.js';

/**
 * `caisson build`: compiles the native part where the loader finds it, with cmake-js where there is
 * cmake, else with node-gyp. Returns the exit status.
 */
export function build(args: readonly string[]): number {
  const script = packageFile('scripts/native.mjs');
  const { status, error } = spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' });
  if (error !== undefined) throw error;
  return status ?? 1;
}
