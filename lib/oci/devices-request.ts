import {
  checkAbsolutePath,
  checkInteger,
  checkOneOf,
  invalid,
  notYet,
} from '../errors/arguments.js';
import type { OciDevice } from '../container/oci-spec.js';
import { MAX_ID } from '../host/subordinate-ids.js';
import { items, section } from './config-checks.js';

/** makedev(3), as the kernel's own numbers go. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;
const MAX_MODE = 0o777;

/** Nodes beside those that every container has. */
export function parseDevices(value: unknown): readonly OciDevice[] {
  const seen = new Set<string>();
  return items(value, 'linux.devices').map((item, index) => {
    const option = `linux.devices[${index}]`;
    const bag = section(item, option);
    const number = (name: string, highest: number, otherwise?: number): number =>
      checkInteger(bag[name] ?? otherwise, `${option}.${name}`, 0, highest);
    const type = checkOneOf(bag['type'], `${option}.type`, ['c', 'u', 'b', 'p']);
    if (type === 'p') throw notYet(`${option}: a FIFO`);
    const path = checkAbsolutePath(bag['path'], `${option}.path`);
    if (seen.has(path)) throw invalid(`${option}.path`, `${path} is there twice`);
    seen.add(path);
    return {
      path,
      type: type === 'b' ? 'b' : 'c',
      major: number('major', MAX_MAJOR),
      minor: number('minor', MAX_MINOR),
      // Older versions of the spec had the file's type in it too.
      fileMode: checkInteger(bag['fileMode'] ?? 0o666, `${option}.fileMode`, 0) & MAX_MODE,
      uid: number('uid', MAX_ID, 0),
      gid: number('gid', MAX_ID, 0),
    };
  });
}
