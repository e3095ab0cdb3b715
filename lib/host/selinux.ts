import { closeSync, openSync, writeSync } from 'node:fs';
import { readText } from './look.js';

export interface SelinuxFacts {
  /** Whether the loaded policy has what a label is made of. */
  knows(label: string): boolean;
}

/** Undefined: SELinux is not enabled, or has no policy yet; then all there is has the label `kernel`. */
export function readSelinux(
  folder = '/sys/fs/selinux',
  current = '/proc/self/attr/current',
): SelinuxFacts | undefined {
  const enabled = readText(`${folder}/enforce`) !== undefined;
  if (!enabled || readText(current)?.replace('\0', '').trim() === 'kernel') return undefined;
  return { knows: (label) => isValid(`${folder}/context`, label) };
}

/** As selinux_check_context(3) asks. Who may not ask hears it from the kernel, later. */
function isValid(file: string, label: string): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r+');
    writeSync(fd, label);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EINVAL';
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
