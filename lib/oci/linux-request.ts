import {
  checkAbsolutePath,
  checkOneOf,
  checkString,
  invalid,
  notYet,
} from '../errors/arguments.js';
import type { OciDevice, OciLinux, OciNamespace, OciResources } from '../container/oci-spec.js';
import { parseSelinux } from '../container/label-request.js';
import { parseSeccompProfile, type SeccompAsked } from '../container/seccomp-request.js';
import { checkOffset } from '../container/time-request.js';
import { items, labelOf, refuse, section, texts } from './config-checks.js';
import { parseDevices } from './devices-request.js';
import { parseResources } from './resources-request.js';

export interface LinuxAsked {
  /** To be made. */
  readonly namespaces: readonly { readonly type: OciNamespace }[];
  /** To be entered in place of a new one. */
  readonly joined: readonly JoinedNamespace[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  readonly devices: readonly OciDevice[];
  readonly resources: OciResources;
  readonly timeOffsets?: NonNullable<OciLinux['timeOffsets']>;
  readonly mountLabel?: string;
  readonly seccomp: 'unconfined' | SeccompAsked;
  /** Below the root of each hierarchy; absent: `/caisson/<id>`. */
  readonly cgroupsPath: string | undefined;
}

export interface JoinedNamespace {
  readonly type: OciNamespace;
  readonly path: string;
}

const KNOWN = ['mount', 'pid', 'ipc', 'uts', 'network', 'cgroup', 'time', 'user'] as const;
/** The child enters these before it does anything else. */
const JOINABLE: ReadonlySet<OciNamespace> = new Set(['ipc', 'uts', 'network']);
/** Without them its mounts would be the caller's, and its orphans too. */
const NEEDED = ['mount', 'pid'] as const;

export function parseOciLinux(value: unknown): LinuxAsked {
  const bag = section(value, 'linux');
  refuse(bag, 'linux', ['gidMappings', 'intelRdt', 'personality', 'uidMappings']);
  checkPropagation(bag['rootfsPropagation']);
  const { seccomp, cgroupsPath } = bag;
  const namespaces = parseNamespaces(bag['namespaces']);
  const timeOffsets = parseTimeOffsets(bag['timeOffsets']);
  if (timeOffsets !== undefined && !namespaces.namespaces.some(({ type }) => type === 'time')) {
    throw invalid('linux.timeOffsets', 'needs a time namespace of its own');
  }
  return {
    ...namespaces,
    ...(timeOffsets === undefined ? {} : { timeOffsets }),
    maskedPaths: paths(bag['maskedPaths'], 'linux.maskedPaths'),
    readonlyPaths: paths(bag['readonlyPaths'], 'linux.readonlyPaths'),
    sysctl: parseSysctl(bag['sysctl']),
    devices: parseDevices(bag['devices']),
    resources: parseResources(bag['resources']),
    ...labelOf(bag, 'linux', 'mountLabel', parseSelinux),
    seccomp:
      seccomp === undefined || seccomp === null
        ? 'unconfined'
        : parseSeccompProfile(seccomp, 'linux.seccomp'),
    cgroupsPath: cgroupsPath === undefined ? undefined : parseCgroupsPath(cgroupsPath),
  };
}

const paths = (value: unknown, option: string): readonly string[] =>
  texts(value, option).map((path, index) => checkAbsolutePath(path, `${option}[${index}]`));

/** A mount namespace of its own is private here, all of it. */
function checkPropagation(value: unknown): void {
  const known = ['', 'private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared', 'unbindable'];
  const asked = checkOneOf(value ?? '', 'linux.rootfsPropagation', known);
  if (!['', 'private', 'rprivate'].includes(asked)) {
    throw notYet(`linux.rootfsPropagation: ${JSON.stringify(asked)}`);
  }
}

function parseNamespaces(value: unknown): Pick<LinuxAsked, 'namespaces' | 'joined'> {
  const made: { type: OciNamespace }[] = [];
  const joined: JoinedNamespace[] = [];
  const seen = new Set<string>();
  items(value, 'linux.namespaces').forEach((item, index) => {
    const option = `linux.namespaces[${index}]`;
    const bag = section(item, option);
    const type = checkOneOf(bag['type'], `${option}.type`, KNOWN);
    if (seen.has(type)) throw invalid(`${option}.type`, `${type} is there twice`);
    seen.add(type);
    if (type === 'user') throw notYet(`linux.namespaces: ${type}`);
    const path = checkString(bag['path'] ?? '', `${option}.path`);
    if (path === '') {
      made.push({ type });
      return;
    }
    if (!JOINABLE.has(type)) throw notYet(`linux.namespaces: ${type} with a path`);
    joined.push({ type, path: checkAbsolutePath(path, `${option}.path`) });
  });
  for (const type of NEEDED) {
    if (!seen.has(type)) throw notYet(`a container without a ${type} namespace of its own`);
  }
  return { namespaces: made, joined };
}

const CLOCKS = ['monotonic', 'boottime'] as const;

function parseTimeOffsets(value: unknown): OciLinux['timeOffsets'] {
  const bag = section(value, 'linux.timeOffsets');
  const offsets = CLOCKS.filter((clock) => bag[clock] !== undefined).map((clock) => {
    const option = `linux.timeOffsets.${clock}`;
    const offset = section(bag[clock], option);
    return [clock, checkOffset(offset['secs'], offset['nanosecs'], option)] as const;
  });
  return offsets.length === 0 ? undefined : Object.fromEntries(offsets);
}

function parseSysctl(value: unknown): Readonly<Record<string, string>> {
  const bag = section(value, 'linux.sysctl');
  return Object.fromEntries(
    Object.entries(bag).map(([key, text]) => [key, checkString(text, `linux.sysctl.${key}`)]),
  );
}

/** An absolute one is below the root of the hierarchy, and so is ours when it is relative. */
function parseCgroupsPath(value: unknown): string | undefined {
  const path = checkString(value, 'linux.cgroupsPath');
  if (path === '') return undefined;
  const parts = path.split('/').filter((part) => part !== '');
  const bad = parts.some((part) => part === '.' || part === '..' || part.includes('\n'));
  if (bad || parts.length === 0) {
    throw invalid('linux.cgroupsPath', `must be a plain path, not ${JSON.stringify(path)}`);
  }
  return parts.join('/');
}
