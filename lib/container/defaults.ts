// What every container gets unless told otherwise: Docker's values, as of its current profiles.
// Frozen, and one object each: the encoder keeps the bytes of what it has seen before.
import type { CapabilityName } from './capabilities.js';
import type { OciCapabilities, OciLinux, OciMount, OciRlimit } from './oci-spec.js';

export const OCI_VERSION = '1.2.0';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const UMASK = 0o022;

const mountOf = (
  destination: string,
  type: string,
  source: string,
  ...options: string[]
): OciMount => Object.freeze({ destination, type, source, options: Object.freeze(options) });
const mount = (destination: string, type: string, ...options: string[]): OciMount =>
  mountOf(destination, type, type, ...options);

const PROC = mount('/proc', 'proc', 'nosuid', 'noexec', 'nodev');
const DEV = mount('/dev', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=65536k');
const PTS_OPTIONS = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'];
const PTS = mount('/dev/pts', 'devpts', ...PTS_OPTIONS, 'gid=5');
/** Where gid 5 is not mapped in the user namespace the kernel refuses it. */
const PTS_ONE_ID = mount('/dev/pts', 'devpts', ...PTS_OPTIONS);
const SHM = mount('/dev/shm', 'tmpfs', 'nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k');
const MQUEUE = mount('/dev/mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev');
const KERNEL_OPTIONS = ['nosuid', 'noexec', 'nodev'];
const SYS = mount('/sys', 'sysfs', ...KERNEL_OPTIONS, 'ro');
const CGROUP = mount('/sys/fs/cgroup', 'cgroup', ...KERNEL_OPTIONS, 'ro');
const SYS_WRITABLE = mount('/sys', 'sysfs', ...KERNEL_OPTIONS);
const CGROUP_WRITABLE = mount('/sys/fs/cgroup', 'cgroup', ...KERNEL_OPTIONS);
/** In the machine's pid namespace an ordinary user cannot mount a procfs: it is not theirs. */
const HOST_PROC = mountOf('/proc', 'bind', '/proc', 'rbind', 'nosuid', 'noexec', 'nodev');
/** In the machine's network namespace an ordinary user cannot mount a sysfs: it is not theirs. */
const HOST_SYS = mountOf('/sys', 'bind', '/sys', 'rbind', 'nosuid', 'noexec', 'nodev', 'rro');
const HOST_SHM = mountOf('/dev/shm', 'bind', '/dev/shm', 'rbind', 'nosuid', 'noexec', 'nodev');
const HOST_MQUEUE = mountOf(
  '/dev/mqueue',
  'bind',
  '/dev/mqueue',
  'rbind',
  'nosuid',
  'noexec',
  'nodev',
);
/**
 * What the supervisor has prepared, made as these say: asked for without options. A mount of the user's in
 * the same place is made anew, as asked.
 */
export const PREPARED_MOUNTS: ReadonlySet<OciMount> = new Set([DEV, PTS, PTS_ONE_ID, SHM]);

export interface MountChoice {
  readonly rootless: boolean;
  readonly cgroups: boolean;
  /** /sys and what is below it can be written to. */
  readonly privileged: boolean;
  /** Group 5 is mapped. */
  readonly terminalGroup: boolean;
  /** What is shared with the machine. */
  readonly hostNetwork: boolean;
  readonly hostPids: boolean;
  /** It has a user namespace of its own. */
  readonly userns: boolean;
  readonly hostIpc: boolean;
  /** The machine has its message queues mounted. */
  readonly hostMqueue: boolean;
}

const chosen = new Map<string, readonly OciMount[]>();

export function defaultMounts(choice: MountChoice): readonly OciMount[] {
  const { rootless, cgroups, privileged, terminalGroup, hostNetwork, hostPids, hostIpc } = choice;
  const hostMqueue = hostIpc && rootless && choice.hostMqueue;
  const key = `${choice.userns} ${rootless} ${cgroups} ${privileged} ${terminalGroup} ${hostNetwork} ${hostPids} ${hostIpc} ${hostMqueue}`;
  let mounts = chosen.get(key);
  if (mounts === undefined) {
    mounts = Object.freeze([
      rootless && hostPids ? HOST_PROC : PROC,
      DEV,
      rootless && hostNetwork ? HOST_SYS : privileged ? SYS_WRITABLE : SYS,
      terminalGroup ? PTS : PTS_ONE_ID,
      hostIpc ? HOST_SHM : SHM,
      ...(!hostIpc || !rootless ? [MQUEUE] : hostMqueue ? [HOST_MQUEUE] : []),
      ...(cgroups ? [privileged ? CGROUP_WRITABLE : CGROUP] : []),
    ]);
    chosen.set(key, mounts);
  }
  return mounts;
}

export const MASKED_PATHS: readonly string[] = Object.freeze([
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
]);

export const READ_ONLY_PATHS: readonly string[] = Object.freeze([
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]);

/** So that a server that is not root may bind port 80, and ping needs no privilege. */
const NETWORK_SYSCTLS: Readonly<Record<string, string>> = Object.freeze({
  'net.ipv4.ip_unprivileged_port_start': '0',
  'net.ipv4.ping_group_range': '0 2147483647',
});
/** With one group in the user namespace there is nobody to say the second one for. */
const ONE_GROUP_SYSCTLS: Readonly<Record<string, string>> = Object.freeze({
  'net.ipv4.ip_unprivileged_port_start': '0',
});
const sysctlsByGroups = new Map<number, Readonly<Record<string, string>>>();

/** The kernel takes no gid that is not mapped, and of the rest none from 2^31 on. */
export function networkSysctls(gids: number): Readonly<Record<string, string>> {
  if (gids > 2 ** 31) return NETWORK_SYSCTLS;
  if (gids === 1) return ONE_GROUP_SYSCTLS;
  let sysctls = sysctlsByGroups.get(gids);
  if (sysctls === undefined) {
    const range = `0 ${gids - 1}`;
    sysctls = Object.freeze({ ...NETWORK_SYSCTLS, 'net.ipv4.ping_group_range': range });
    sysctlsByGroups.set(gids, sysctls);
  }
  return sysctls;
}
export const NO_SYSCTLS: Readonly<Record<string, string>> = Object.freeze({});

const NAMESPACE_TYPES = ['mount', 'pid', 'ipc', 'uts', 'cgroup', 'network'] as const;

export const NAMESPACES: OciLinux['namespaces'] = Object.freeze(
  NAMESPACE_TYPES.map((type) => Object.freeze({ type })),
);

const NONE: readonly string[] = Object.freeze([]);
const capabilitySets = new WeakMap<readonly CapabilityName[], OciCapabilities>();

/** Inheritable and ambient stay empty, so that a change of user drops them (CVE-2022-24769). */
export function capabilitySet(names: readonly CapabilityName[]): OciCapabilities {
  let set = capabilitySets.get(names);
  if (set === undefined) {
    set = Object.freeze({
      bounding: names,
      effective: names,
      permitted: names,
      inheritable: NONE,
      ambient: NONE,
    });
    capabilitySets.set(names, set);
  }
  return set;
}

/**
 * Node lifts the soft limit of open files to the hard one, and programs that walk all possible
 * descriptors (or use select) suffer: containers begin where a login does.
 */
const SOFT_OPEN_FILES = 1024;

const openFiles = new Map<number, readonly OciRlimit[]>();

export function defaultRlimits(hardOpenFiles: number): readonly OciRlimit[] {
  let limits = openFiles.get(hardOpenFiles);
  if (limits === undefined) {
    const soft = Math.min(SOFT_OPEN_FILES, hardOpenFiles);
    limits = Object.freeze([Object.freeze({ type: 'RLIMIT_NOFILE', soft, hard: hardOpenFiles })]);
    openFiles.set(hardOpenFiles, limits);
  }
  return limits;
}
