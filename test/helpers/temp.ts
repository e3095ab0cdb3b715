import {
  access,
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  rmdir,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

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

/** The same for all tests of a file, with its name known before them: where every test is skipped it is never made. */
export function fileFolder(purpose: string): string {
  const path = join(tmpdir(), `${TEMP_PREFIX}${purpose}`);
  beforeAll(async () => {
    await mkdir(path);
    await chmod(path, 0o755);
  });
  afterAll(() => rm(path, { recursive: true }));
  return path;
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
  const own = { root, runDir, cgroupParent: `/${CGROUP_PARENT}` };
  const remove = async (): Promise<void> => {
    // Files of layers may belong to subordinate ids, which only a Runtime can remove.
    if (options.uid === undefined && process.getuid?.() !== 0 && (await hasImages(root))) {
      const { Runtime } = await import('../../lib/index.js');
      const runtime = await Runtime.open(own);
      await runtime.images.prune({ dangling: false });
      await runtime.close();
    }
    await folder.remove();
    await removeCgroupParents();
  };
  return {
    options: own,
    root,
    runDir,
    remove,
    [Symbol.asyncDispose]: remove,
  };
}

const hasImages = async (root: string): Promise<boolean> =>
  await access(join(root, 'images/index.json')).then(
    () => true,
    () => false,
  );

const CGROUP_PARENT = `${TEMP_PREFIX}cgroup`;
const CGROUPS = '/sys/fs/cgroup';

/**
 * A Runtime removes its own group and leaves the parent, which is its user's: below the root of each hierarchy, or
 * below our own group. One in use stays.
 */
async function removeCgroupParents(): Promise<void> {
  const entries = await readdir(CGROUPS, { withFileTypes: true }).catch(() => []);
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const lines = (await readFile('/proc/self/cgroup', 'utf8').catch(() => '')).split('\n');
  const groups = new Set(lines.map((line) => line.split(':').slice(2).join(':')));
  const places = ['', ...folders].flatMap((hierarchy) =>
    [...groups].map((group) => join(CGROUPS, hierarchy, group)),
  );
  for (const place of places) {
    const names = await readdir(place).catch(() => []);
    for (const name of names.filter((one) => one.startsWith(CGROUP_PARENT))) {
      await rmdir(join(place, name)).catch(() => undefined);
    }
  }
}
