import { constants, lstatSync, readdirSync, realpathSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { mayAccess } from './look.js';

/** A device node of this machine. */
export interface HostDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  /** Permission bits alone. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** What this program may do with it itself. */
  readonly mayRead: boolean;
  readonly mayWrite: boolean;
}

/** What below /dev is no device of the machine's, but of whoever looks. */
const NOT_THE_HOSTS: ReadonlySet<string> = new Set([
  'pts',
  'shm',
  'fd',
  'mqueue',
  'console',
  'ptmx',
  '.lxc',
  '.lxd-mounts',
  '.udev',
]);

/**
 * The node at `path`, or all nodes below the folder there, each by its path as if `path` were no link. Links below
 * a folder are not followed. Empty: there is none.
 */
export function devicesAt(path: string): readonly HostDevice[] {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    return [];
  }
  const found: HostDevice[] = [];
  collect(real, path, found);
  return found;
}

/** Every device of this machine, as a privileged container has them. */
export function allDevices(): readonly HostDevice[] {
  return readdirSync('/dev')
    .filter((name) => !NOT_THE_HOSTS.has(name))
    .flatMap((name) => {
      const path = join('/dev', name);
      const found: HostDevice[] = [];
      collect(path, path, found);
      return found;
    });
}

function collect(place: string, path: string, found: HostDevice[]): void {
  const stats = look(place);
  if (stats === undefined) return;
  if (stats.isDirectory()) {
    for (const name of namesIn(place)) collect(join(place, name), join(path, name), found);
  } else if (stats.isCharacterDevice() || stats.isBlockDevice()) {
    found.push({
      path,
      type: stats.isBlockDevice() ? 'b' : 'c',
      ...splitNumber(stats.rdev),
      mode: stats.mode & 0o777,
      uid: stats.uid,
      gid: stats.gid,
      mayRead: mayAccess(place, constants.R_OK),
      mayWrite: mayAccess(place, constants.W_OK),
    });
  }
}

// Devices come and go, and folders of others cannot be read: what is not seen is not there.
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** As makedev(3) of the C library puts them together. @internal */
export function splitNumber(rdev: number): { readonly major: number; readonly minor: number } {
  const number = BigInt(rdev);
  return {
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xffff_ff00n)),
  };
}
