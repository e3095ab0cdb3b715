import { chmod, chown, mkdir, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Everything the helpers make in the temp folder starts with this: what leak() goes by. */
export const TEMP_PREFIX = `caisson-test-${process.pid}-`;

export interface TempFolder extends AsyncDisposable {
  readonly path: string;
  readonly remove: () => Promise<void>;
}

/** A fresh folder below the temp folder, 0755, owned by `uid` where that is given. */
export async function tempFolder(options: { uid?: number } = {}): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), TEMP_PREFIX));
  await chmod(path, 0o755);
  if (options.uid !== undefined) await chown(path, options.uid, options.uid);
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 });
  return { path, remove, [Symbol.asyncDispose]: remove };
}

export interface TempStore extends AsyncDisposable {
  /** Options for `Runtime.open`: a store, a run folder and a cgroup parent of its own. */
  readonly options: { root: string; runDir: string; cgroupParent: string };
  readonly root: string;
  readonly runDir: string;
  readonly remove: () => Promise<void>;
}

/** A store and a run folder (0700) of one's own. `remove()` after the Runtime was closed. */
export async function tempStore(options: { uid?: number } = {}): Promise<TempStore> {
  const folder = await tempFolder(options);
  const root = join(folder.path, 's');
  const runDir = join(folder.path, 'r');
  for (const path of [root, runDir]) {
    await mkdir(path, { mode: 0o700 });
    if (options.uid !== undefined) await chown(path, options.uid, options.uid);
  }
  const remove = async (): Promise<void> => {
    await folder.remove();
    await removeCgroupParents();
  };
  return {
    options: { root, runDir, cgroupParent: `/${CGROUP_PARENT}` },
    root,
    runDir,
    remove,
    [Symbol.asyncDispose]: remove,
  };
}

const CGROUP_PARENT = `${TEMP_PREFIX}cgroup`;
const CGROUPS = '/sys/fs/cgroup';

/** A Runtime removes its own group and leaves the parent, which is its user's. One in use stays. */
async function removeCgroupParents(): Promise<void> {
  const entries = await readdir(CGROUPS, { withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  for (const hierarchy of ['', ...folders]) {
    const names = await readdir(join(CGROUPS, hierarchy)).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(CGROUP_PARENT))) {
      await rmdir(join(CGROUPS, hierarchy, name)).catch(() => undefined);
    }
  }
}
