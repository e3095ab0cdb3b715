import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkBoolean,
  checkOneOf,
  checkSize,
  invalid,
  notYet,
  type Bag,
} from '../errors/arguments.js';

/** A mount as asked for: what the plan turns into an OCI mount. */
export type MountAsked =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readOnly: boolean;
      readonly idmap: boolean;
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly sizeBytes: number | undefined };

const KEYS = {
  bind: new Set(['type', 'source', 'target', 'readOnly', 'idmap']),
  tmpfs: new Set(['type', 'target', 'sizeBytes']),
};

const MAX_MOUNTS = 1000;

export function parseMounts(value: unknown): readonly MountAsked[] {
  const list = checkArray(value, 'mounts');
  if (list.length > MAX_MOUNTS) throw invalid('mounts', `must be at most ${MAX_MOUNTS}`);
  const seen = new Set<string>();
  return list.map((item, index) => {
    const mount = parseMount(item, `mounts[${index}]`);
    if (seen.has(mount.target)) {
      throw invalid(`mounts[${index}].target`, `${JSON.stringify(mount.target)} is there twice`);
    }
    seen.add(mount.target);
    return mount;
  });
}

function parseMount(value: unknown, option: string): MountAsked {
  if (typeof value !== 'object' || value === null) throw invalid(option, 'must be an object');
  const type = checkOneOf((value as Bag)['type'], `${option}.type`, ['bind', 'volume', 'tmpfs']);
  if (type === 'volume') throw notYet(`${option}: a volume`);

  const bag = checkBag(value, option, KEYS[type]);
  const target = checkMountTarget(bag['target'], `${option}.target`);
  if (type === 'tmpfs') {
    const asked = bag['sizeBytes'];
    const sizeBytes = asked === undefined ? undefined : checkSize(asked, `${option}.sizeBytes`, 1);
    return { type, target, sizeBytes };
  }
  const readOnly = bag['readOnly'] ?? false;
  return {
    type,
    source: checkAbsolutePath(bag['source'], `${option}.source`),
    target,
    readOnly: checkBoolean(readOnly, `${option}.readOnly`),
    idmap: checkBoolean(bag['idmap'] ?? false, `${option}.idmap`),
  };
}

/** Files of /proc that may be covered: what lxcfs and the like give a container its own view of. */
const ALLOWED_IN_PROC: ReadonlySet<string> = new Set([
  '/proc/cpuinfo',
  '/proc/diskstats',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/slabinfo',
  '/proc/stat',
  '/proc/swaps',
  '/proc/uptime',
  '/proc/net/dev',
]);

/**
 * Anything over or inside /proc and /sys would take the kernel's own answers away (the root of
 * CVE-2019-16884), and a mount over / would cover all there is.
 */
export function checkMountTarget(value: unknown, option: string): string {
  const target = checkAbsolutePath(value, option);
  if (target === '/') throw invalid(option, 'must not be the root folder');
  const kernels = /^\/(proc|sys)(\/|$)/.test(target);
  if (kernels && !ALLOWED_IN_PROC.has(target)) {
    throw invalid(option, `must not be inside /proc or /sys: ${JSON.stringify(target)}`);
  }
  return target;
}
