import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where a built native file lies, looked for where the loader looks; null when it is not built. */
export function nativeFile(name: 'caisson.node' | 'caisson-supervisor'): string | null {
  const folders = [
    process.env['CAISSON_NATIVE_DIR'],
    join(repository, 'prebuilds', `linux-${process.arch}`),
    join(repository, 'build'),
    join(repository, 'build', 'Release'),
  ];
  for (const folder of folders) {
    if (folder !== undefined && existsSync(join(folder, name))) return join(folder, name);
  }
  return null;
}
