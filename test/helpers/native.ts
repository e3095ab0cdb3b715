import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The supervisor whose guards can be taken out, one at a time: addon/base/guard.h. */
export const UNGUARDED = join(repository, 'build/cmake/Release/unguarded/caisson-supervisor');

/** Whether the native files under test are those of `npm run test:native -- --sanitize`: slower. */
export const SANITIZED = process.env['CAISSON_NATIVE_DIR']?.includes('asan') === true;

/** Where a built native file lies, looked for where the loader looks; null when it is not built. */
export function nativeFile(
  name: 'caisson.node' | 'caisson-supervisor' | 'caisson-fake-supervisor',
): string | null {
  const asked = process.env['CAISSON_NATIVE_DIR'];
  const folders =
    asked === undefined || asked === ''
      ? [
          join(repository, 'prebuilds', `linux-${process.arch}`),
          join(repository, 'build', 'cmake', 'Release'),
          join(repository, 'build', 'Release'),
        ]
      : [asked];
  for (const folder of folders) {
    if (existsSync(join(folder, name))) return join(folder, name);
  }
  return null;
}
