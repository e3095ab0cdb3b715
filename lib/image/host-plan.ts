import { dirname, posix } from 'node:path';
import { invalid } from '../errors/arguments.js';
import type { SkeletonEntry } from '../store/skeleton.js';
import type { HostPath } from './host-facts.js';
import type { ImageMount } from './resolved-image.js';

export interface HostPlan {
  /** Of the layer that holds the links and every mount point: starting writes nothing. */
  readonly entries: readonly SkeletonEntry[];
  /** Parents before children. */
  readonly mounts: readonly ImageMount[];
}

/** What the fresh root has of its own. */
const OWN: readonly SkeletonEntry[] = [
  { type: 'folder', path: 'etc', mode: 0o755 },
  { type: 'link', path: 'etc/mtab', target: '../proc/self/mounts' },
  { type: 'folder', path: 'home', mode: 0o755 },
  { type: 'folder', path: 'root', mode: 0o700 },
  { type: 'folder', path: 'tmp', mode: 0o1777 },
  { type: 'folder', path: 'var', mode: 0o755 },
  { type: 'folder', path: 'var/cache', mode: 0o755 },
  { type: 'folder', path: 'var/lib', mode: 0o755 },
  { type: 'folder', path: 'var/log', mode: 0o755 },
  { type: 'link', path: 'var/run', target: '../run' },
  { type: 'folder', path: 'var/tmp', mode: 0o1777 },
];

/** Pure: which binds, which links, which mount points. */
export function planHost(found: readonly HostPath[], writable: readonly string[]): HostPlan {
  const plain = found.filter(({ link }) => link === undefined);
  const shown = (path: string): boolean => plain.some((one) => isWithin(path, one.path));

  const links: HostPath[] = [];
  const binds = new Map(plain.map(({ path, kind }) => [path, { source: path, kind }]));
  for (const one of found) {
    // A link into what is shown stays a link (/bin on a merged /usr); else what it means is shown.
    if (one.link === undefined) continue;
    if (shown(one.link.real)) links.push(one);
    else binds.set(one.path, { source: one.link.real, kind: one.kind });
  }
  // A folder shows what is in it.
  for (const path of binds.keys()) {
    if ([...binds.keys()].some((other) => other !== path && isWithin(path, other))) {
      binds.delete(path);
    }
  }
  const overlays = planWritable(writable, found, new Set(binds.keys()));
  const targets = [...new Set([...binds.keys(), ...overlays])].sort();
  const covered = (path: string): boolean =>
    [...binds.keys()].some((bind) => path !== bind && isWithin(path, bind));

  const entries = new Map(OWN.map((entry) => [entry.path, entry]));
  for (const path of targets) {
    const kind = binds.get(path)?.kind ?? 'folder';
    if (!covered(path)) addEntry(entries, mountPoint(path, kind));
  }
  for (const { path, link } of links) {
    if (link === undefined || covered(path)) continue;
    const target = shown(posix.resolve(dirname(path), link.text)) ? link.text : link.real;
    addEntry(entries, { type: 'link', path: path.slice(1), target });
  }
  return {
    entries: [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    mounts: targets.map((target) =>
      overlays.has(target)
        ? { type: 'overlay', source: binds.get(target)?.source ?? target, target, readOnly: false }
        : { type: 'bind', source: binds.get(target)?.source ?? target, target, readOnly: true },
    ),
  };
}

/** Each of `writable` as a folder that is shown, links resolved. */
function planWritable(
  writable: readonly string[],
  found: readonly HostPath[],
  binds: ReadonlySet<string>,
): ReadonlySet<string> {
  return new Set(
    writable.map((path, i) => {
      const link = found.find((one) => one.path === path)?.link;
      const real = link === undefined || binds.has(path) ? path : link.real;
      const isFile = found.some((one) => one.path === path && one.kind === 'file');
      if (isFile || ![...binds].some((bind) => isWithin(real, bind))) {
        throw invalid(
          `writable[${i}]`,
          isFile ? 'must be a folder' : `${JSON.stringify(path)} is not shown; add it to paths`,
        );
      }
      return real;
    }),
  );
}

function mountPoint(path: string, kind: 'folder' | 'file'): SkeletonEntry {
  return kind === 'folder'
    ? { type: 'folder', path: path.slice(1), mode: 0o755 }
    : { type: 'file', path: path.slice(1), mode: 0o644 };
}

/** With the folders above it; what is there already stays as it is. */
function addEntry(entries: Map<string, SkeletonEntry>, entry: SkeletonEntry): void {
  const above = dirname(entry.path);
  if (above !== '.' && !entries.has(above)) {
    addEntry(entries, { type: 'folder', path: above, mode: 0o755 });
  }
  if (!entries.has(entry.path)) entries.set(entry.path, entry);
}

const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`);
