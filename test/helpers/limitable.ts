import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';

const CGROUP2_SUPER_MAGIC = 0x63677270;
const TOP = '/sys/fs/cgroup';
const V1_NAMES: Readonly<Record<string, string>> = { io: 'blkio', freeze: 'freezer' };

/**
 * Whether this user can limit what `controller` (by its v2 name, or `freeze`) controls, by looking at the machine:
 * root wherever it is mounted, an ordinary user where a v2 group is delegated that has it.
 */
export function limitable(controller: string): boolean {
  const root = process.getuid?.() === 0;
  if (statfsSync(TOP).type !== CGROUP2_SUPER_MAGIC) {
    return root && existsSync(`${TOP}/${V1_NAMES[controller] ?? controller}/tasks`);
  }
  if (root) return has(TOP, controller);
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  const folder = TOP + own.replace(/\/init$/, '');
  try {
    accessSync(`${folder}/cgroup.subtree_control`, constants.W_OK);
    return has(folder, controller);
  } catch {
    return false;
  }
}

function has(folder: string, controller: string): boolean {
  if (controller === 'freeze') return true; // of v2 itself
  return readFileSync(`${folder}/cgroup.controllers`, 'utf8')
    .trim()
    .split(' ')
    .includes(controller);
}
