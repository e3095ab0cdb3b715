// What `npm pack` carries: dist/ and prebuilds/linux-<arch>/, made afresh, so that a package cannot
// hold a stale build. `--clean` (postpack) removes the prebuilt files again: in the repository they
// would be loaded before whatever is built next.
import { chmodSync, copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { FILES, OUTPUT, buildNative } from './native.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const prebuilds = join(root, 'prebuilds');

rmSync(prebuilds, { recursive: true, force: true });
if (!process.argv.includes('--clean')) {
  buildNative({ with: 'cmake', allCodecs: true });
  await import('./build-ts.mjs');
  const folder = join(prebuilds, `linux-${process.arch}`);
  mkdirSync(folder, { recursive: true });
  for (const name of FILES) {
    copyFileSync(join(OUTPUT.cmake, name), join(folder, name));
    chmodSync(join(folder, name), 0o755);
  }
}
