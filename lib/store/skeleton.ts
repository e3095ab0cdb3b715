import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, storeError, temporaryName, together } from './files.js';

/** What a made layer consists of, parents before children. Owner: whoever made the store, uid 0 inside. */
export type SkeletonEntry =
  | { readonly type: 'folder'; readonly path: string; readonly mode: number }
  | { readonly type: 'file'; readonly path: string; readonly mode: number }
  | { readonly type: 'link'; readonly path: string; readonly target: string };

/**
 * Lowest under every image: the mount points of a container, so that starting one writes nothing to
 * its upper folder. What an image itself says about a path wins over it.
 */
export const SKELETON: readonly SkeletonEntry[] = [
  ...['dev', 'etc', 'proc', 'run', 'sys', 'var'].map(
    (path) => ({ type: 'folder', path, mode: 0o755 }) as const,
  ),
  { type: 'folder', path: 'tmp', mode: 0o1777 },
  ...['etc/hostname', 'etc/hosts', 'etc/resolv.conf'].map(
    (path) => ({ type: 'file', path, mode: 0o644 }) as const,
  ),
];

/**
 * Makes the layer folder `path`, complete or not at all: it is made beside, in `temporary`, and renamed.
 * One that exists is taken as it is.
 */
export async function makeLayer(
  path: string,
  entries: readonly SkeletonEntry[],
  temporary = join(dirname(path), temporaryName()),
): Promise<void> {
  try {
    await mkdir(temporary, { mode: 0o755 });
    for (const level of levels(entries)) {
      await together(level.map((entry) => makeEntry(join(temporary, entry.path), entry)));
    }
    await chmod(temporary, 0o755);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Somebody else was first: a folder that is not empty is not replaced by rename(2).
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') {
      throw storeError(error, path);
    }
  }
}

/** By depth: what lies in a folder comes after it. */
function levels(entries: readonly SkeletonEntry[]): Iterable<readonly SkeletonEntry[]> {
  const found = new Map<number, SkeletonEntry[]>();
  for (const entry of entries) {
    const depth = entry.path.split('/').length;
    const level = found.get(depth);
    if (level === undefined) found.set(depth, [entry]);
    else level.push(entry);
  }
  return found.values(); // parents come before children, so the depths come in order
}

async function makeEntry(path: string, entry: SkeletonEntry): Promise<void> {
  if (entry.type === 'link') {
    await symlink(entry.target, path);
    return;
  }
  if (entry.type === 'folder') await mkdir(path);
  else await writeFile(path, '', { flag: 'wx' });
  await chmod(path, entry.mode); // the umask must not matter
}
