// Plan → the fields of a Launch. What plans share (frozen lists of defaults) is encoded once.
import type { StdioKind } from '../native/protocol.js';
import { MountKind, SeccompPolicy, Tag } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import { capabilityMask, type CapabilityName } from './capabilities.js';
import { capabilitySet, PREPARED_MOUNTS } from './defaults.js';
import { encodeResources } from './encode-resources.js';
import type {
  OciCapabilities,
  OciDevice,
  OciIdMapping,
  OciLinux,
  OciMount,
  OciNamespace,
  OciRlimit,
  OciSpec,
} from './oci-spec.js';
import type { Plan } from './plan.js';
import type { Owner } from './plan-userns.js';
import { isRlimit, rlimitNumber } from './rlimits.js';
import type { SeccompPlan, SeccompProfilePlan } from './seccomp-plan.js';
import { SHARED, type SharedNamespace } from './shared-namespaces.js';
import type { TerminalSize } from './terminal-request.js';

/** What a launch adds to its plan. */
export interface LaunchExtras {
  /** Store-relative folder of the container; absent: a scratch slot. */
  readonly folder?: string;
  /** Store-relative path of the log; absent: the streams are `stdio`. */
  readonly logPath?: string;
  readonly stdio: readonly [StdioKind, StdioKind, StdioKind];
  readonly wantStarted: boolean;
  /** Another one with these layers will come soon. */
  readonly warmPool: boolean;
  /** Ids of the Launches of those whose namespaces are shared. */
  readonly peers?: Readonly<Partial<Record<SharedNamespace, number>>>;
}

export function encodeLaunch(plan: Plan, extras: LaunchExtras): Uint8Array {
  const { oci } = plan;
  const fields = new FieldWriter(8192);
  if (extras.folder !== undefined) fields.string(Tag.folderContainer, extras.folder);
  fields.strings(Tag.layer, plan.layers);
  if (plan.cgroupParent !== undefined) fields.string(Tag.cgroupParent, plan.cgroupParent);
  if (extras.wantStarted) fields.u64(Tag.wantStarted, 1);
  if (extras.warmPool) fields.u64(Tag.warmPool, 1);
  if (plan.timeoutMs > 0) fields.u64(Tag.timeoutMs, plan.timeoutMs);
  if (extras.logPath !== undefined) encodeLog(fields, plan, extras.logPath);

  fields.append(kept(oci.linux.namespaces, encodeNamespaces));
  if (extras.peers !== undefined) encodePeers(fields, extras.peers);
  if (oci.hostname !== undefined) fields.string(Tag.hostname, oci.hostname);
  if (oci.root.readonly) fields.u64(Tag.readOnlyRoot, 1);
  if (plan.init) fields.u64(Tag.init, 1);
  fields.append(kept(oci.mounts, encodeMounts));
  if (oci.linux.mountLabel !== undefined) fields.string(Tag.mountLabel, oci.linux.mountLabel);
  for (const { path, content, mode } of plan.files) {
    fields.group(Tag.file, (file) => {
      file.string(Tag.filePath, path).string(Tag.fileContent, content).u64(Tag.fileMode, mode);
    });
  }
  fields.append(kept(oci.linux.maskedPaths, (w, paths) => w.strings(Tag.maskedPath, paths)));
  fields.append(kept(oci.linux.readonlyPaths, (w, paths) => w.strings(Tag.readOnlyPath, paths)));
  fields.append(kept(oci.linux.sysctl, encodeSysctl));
  encodeUserns(fields, plan);
  encodeDevices(fields, oci.linux.devices);
  if (oci.linux.resources !== undefined) {
    fields.append(kept(oci.linux.resources, encodeResources));
  }
  encodeTimeOffsets(fields, oci.linux.timeOffsets);

  encodeProcess(fields, plan, oci.process);
  const { consoleSize } = oci.process;
  if (consoleSize !== undefined) {
    encodeTerminal(fields, { columns: consoleSize.width, rows: consoleSize.height });
  }
  encodeStdio(fields, extras.stdio);
  return fields.bytes();
}

/** What an Exec asks for; credentials, unless it is privileged, and limits are those of its container's plan. */
export interface ExecAsked {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly timeoutMs: number;
  /** Privileged: these, and no filter, whatever the container has. */
  readonly capabilities: readonly CapabilityName[] | undefined;
  /** Absent: it gets none. */
  readonly terminal: TerminalSize | undefined;
}

export function encodeExec(
  container: number,
  plan: Plan,
  asked: ExecAsked,
  extras: Pick<LaunchExtras, 'stdio' | 'wantStarted'>,
): Uint8Array {
  const fields = new FieldWriter(4096);
  fields.u64(Tag.container, container);
  if (extras.wantStarted) fields.u64(Tag.wantStarted, 1);
  if (asked.timeoutMs > 0) fields.u64(Tag.timeoutMs, asked.timeoutMs);
  const { groupAdd } = plan;
  const { capabilities } = asked;
  const seccomp = capabilities === undefined ? plan.seccomp : 'unconfined';
  const user = { user: asked.user, groupAdd, seccomp, setHome: !hasHome(asked.env) };
  const process = {
    ...plan.oci.process,
    ...(capabilities === undefined
      ? {}
      : { capabilities: capabilitySet(capabilities), noNewPrivileges: false }),
    args: asked.argv,
    env: asked.env,
    cwd: asked.cwd,
  };
  encodeProcess(fields, user, process);
  encodeTerminal(fields, asked.terminal);
  if (plan.oci.linux.timeOffsets !== undefined) fields.u64(Tag.timeNamespace, 1);
  if (plan.owner !== undefined) encodeOwner(fields, plan.owner);
  encodeStdio(fields, extras.stdio);
  return fields.bytes();
}

export const hasHome = (env: readonly string[]): boolean =>
  env.some((entry) => entry.startsWith('HOME='));

function encodeProcess(
  fields: FieldWriter,
  { user, groupAdd, seccomp, setHome }: Pick<Plan, 'user' | 'groupAdd' | 'seccomp' | 'setHome'>,
  process: Plan['oci']['process'],
): void {
  fields.strings(Tag.arg, process.args);
  fields.strings(Tag.env, process.env);
  fields.string(Tag.cwd, process.cwd);
  fields.string(Tag.user, user);
  fields.strings(Tag.addGroup, groupAdd);
  if (setHome) fields.u64(Tag.setHome, 1);
  if (process.noNewPrivileges) fields.u64(Tag.noNewPrivileges, 1);
  fields.append(kept(process.capabilities, encodeCapabilities));
  fields.append(kept(process.rlimits, encodeRlimits));
  if (process.oomScoreAdj !== undefined) fields.u64(Tag.oomScoreAdj, process.oomScoreAdj);
  if (process.apparmorProfile !== undefined) {
    fields.string(Tag.appArmor, process.apparmorProfile);
  }
  if (process.selinuxLabel !== undefined) fields.string(Tag.selinux, process.selinuxLabel);
  encodeSeccomp(fields, seccomp);
  fields.u64(Tag.umask, process.user.umask);
}

function encodeTerminal(fields: FieldWriter, size: TerminalSize | undefined): void {
  if (size === undefined) return;
  fields.u64(Tag.terminal, 1).u64(Tag.columns, size.columns).u64(Tag.rows, size.rows);
}

function encodeStdio(fields: FieldWriter, [stdin, stdout, stderr]: LaunchExtras['stdio']): void {
  fields.u64(Tag.stdin, stdin).u64(Tag.stdout, stdout).u64(Tag.stderr, stderr);
}

const keptBytes = new WeakMap<object, Uint8Array>();

/** The fields of a part: kept for as long as the part lives, if it can never change. */
function kept<T extends object>(
  part: T,
  encode: (fields: FieldWriter, part: T) => void,
): Uint8Array {
  let bytes = keptBytes.get(part);
  if (bytes === undefined) {
    const fields = new FieldWriter(1024);
    encode(fields, part);
    bytes = fields.bytes();
    if (Object.isFrozen(part)) keptBytes.set(part, bytes);
  }
  return bytes;
}

export const CLONE_FLAGS: Readonly<Record<OciNamespace, number>> = {
  mount: 0x0002_0000,
  cgroup: 0x0200_0000,
  uts: 0x0400_0000,
  ipc: 0x0800_0000,
  pid: 0x2000_0000,
  network: 0x4000_0000,
  time: 0, // entered by the child: Tag.timeOffset
  user: 0, // made with Tag.uidMap
};

function encodeNamespaces(fields: FieldWriter, namespaces: OciSpec['linux']['namespaces']): void {
  const own = namespaces.filter(({ path }) => path === undefined);
  fields.u64(
    Tag.namespaces,
    own.reduce((sum, { type }) => sum + CLONE_FLAGS[type], 0),
  );
}

const SHARED_TAGS: Readonly<Record<SharedNamespace, Tag>> = {
  network: Tag.sharedNet,
  ipc: Tag.sharedIpc,
  uts: Tag.sharedUts,
  pid: Tag.sharedPid,
};

function encodePeers(fields: FieldWriter, peers: NonNullable<LaunchExtras['peers']>): void {
  for (const kind of SHARED) {
    const target = peers[kind];
    if (target !== undefined) fields.u64(SHARED_TAGS[kind], target);
  }
}

function encodeSysctl(fields: FieldWriter, sysctl: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(sysctl)) {
    fields.group(Tag.sysctl, (pair) => pair.string(Tag.key, key).string(Tag.value, value));
  }
}

function encodeUserns(fields: FieldWriter, plan: Plan): void {
  if (plan.owner === undefined) return;
  encodeIdMaps(fields, plan);
  encodeOwner(fields, plan.owner);
}

/** Nothing without a user namespace of its own. */
export function encodeIdMaps(fields: FieldWriter, { owner, oci }: Plan): void {
  if (owner === undefined) return;
  const { uidMappings = [], gidMappings = [] } = oci.linux;
  fields.string(Tag.uidMap, idMapText(uidMappings)).string(Tag.gidMap, idMapText(gidMappings));
}

const idMapText = (mappings: readonly OciIdMapping[]): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join('');

function encodeOwner(fields: FieldWriter, { uid, gid }: Owner): void {
  fields.u64(Tag.ownerUid, uid).u64(Tag.ownerGid, gid);
}

const NODE_KINDS = { c: 0o020_000, b: 0o060_000 };

function encodeDevices(fields: FieldWriter, devices: readonly OciDevice[]): void {
  for (const { path, type, major, minor, fileMode, uid, gid } of devices) {
    fields.group(Tag.device, (device) => {
      device.string(Tag.devicePath, path).u64(Tag.deviceKind, NODE_KINDS[type]);
      device.u64(Tag.deviceMajor, major).u64(Tag.deviceMinor, minor);
      device.u64(Tag.deviceMode, fileMode).u64(Tag.deviceUid, uid).u64(Tag.deviceGid, gid);
    });
  }
}

const CLOCKS = { monotonic: 1, boottime: 7 };

function encodeTimeOffsets(fields: FieldWriter, offsets: OciLinux['timeOffsets']): void {
  if (offsets === undefined) return;
  for (const clock of ['monotonic', 'boottime'] as const) {
    const offset = offsets[clock];
    if (offset === undefined) continue;
    fields.group(Tag.timeOffset, (group) => {
      group.u64(Tag.timeClock, CLOCKS[clock]).u64(Tag.timeNanoseconds, offset.nanosecs);
      group.u64(Tag.timeSeconds, offset.secs);
    });
  }
}

function encodeCapabilities(fields: FieldWriter, set: OciCapabilities): void {
  fields.u64(Tag.capBounding, capabilityMask(set.bounding));
  fields.u64(Tag.capEffective, capabilityMask(set.effective));
  fields.u64(Tag.capPermitted, capabilityMask(set.permitted));
  fields.u64(Tag.capInheritable, capabilityMask(set.inheritable));
  fields.u64(Tag.capAmbient, capabilityMask(set.ambient));
}

/** The filter is made where the process is started, from the same fields for all that have them. */
function encodeSeccomp(fields: FieldWriter, seccomp: SeccompPlan): void {
  if (seccomp === 'unconfined') return;
  if (typeof seccomp === 'string') {
    fields.group(Tag.seccomp, (group) => group.u64(Tag.seccompPolicy, SeccompPolicy[seccomp]));
  } else {
    fields.append(kept(seccomp, encodeProfile));
  }
}

function encodeProfile(fields: FieldWriter, profile: SeccompProfilePlan): void {
  fields.group(Tag.seccomp, (group) => {
    group.u64(Tag.seccompPolicy, SeccompPolicy.profile);
    group.u64(Tag.seccompDefault, profile.defaultVerdict);
    group.u64(Tag.seccompArchitectures, profile.architectures);
    for (const { names, verdict, args } of profile.rules) {
      group.group(Tag.seccompRule, (rule) => {
        rule.string(Tag.seccompNames, names.join(' ')).u64(Tag.seccompVerdict, verdict);
        for (const { index, operator, value, valueTwo } of args) {
          rule.group(Tag.seccompCondition, (condition) => {
            condition.u64(Tag.seccompArgument, index).u64(Tag.seccompOperator, operator);
            condition.u64(Tag.seccompValue, value).u64(Tag.seccompValueTwo, valueTwo);
          });
        }
      });
    }
  });
}

const UNLIMITED = 2n ** 64n - 1n;

function encodeRlimits(fields: FieldWriter, limits: readonly OciRlimit[]): void {
  for (const { type, soft, hard } of limits) {
    const name = type.slice('RLIMIT_'.length).toLowerCase();
    if (!isRlimit(name)) continue; // a plan has none but those
    fields.group(Tag.rlimit, (limit) => {
      limit.u64(Tag.rlimitKind, rlimitNumber(name));
      limit.u64(Tag.rlimitSoft, soft === -1 ? UNLIMITED : soft);
      limit.u64(Tag.rlimitHard, hard === -1 ? UNLIMITED : hard);
    });
  }
}

function encodeLog(fields: FieldWriter, { log }: Plan, path: string): void {
  if (log.type === 'none') return;
  fields.group(Tag.logFile, (group) => {
    group.string(Tag.logPath, path);
    group.u64(Tag.logMaxBytes, log.maxBytes).u64(Tag.logFiles, log.files);
  });
}

const KINDS: Readonly<Record<string, MountKind>> = {
  bind: MountKind.bind,
  tmpfs: MountKind.tmpfs,
  proc: MountKind.proc,
  sysfs: MountKind.sysfs,
  devpts: MountKind.devpts,
  mqueue: MountKind.mqueue,
  cgroup: MountKind.cgroup,
  overlay: MountKind.overlay,
};

/** MOUNT_ATTR_* of mount_setattr(2). */
const ATTRIBUTES: Readonly<Record<string, number>> = {
  ro: 0x1,
  rro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
};

function encodeMounts(fields: FieldWriter, mounts: readonly OciMount[]): void {
  for (const mount of mounts) {
    fields.group(Tag.mount, (group) => {
      encodeMount(group, mount);
    });
  }
}

function encodeMount(fields: FieldWriter, mount: OciMount): void {
  const { destination, source, options } = mount;
  const kind = kindOf(mount);
  fields.u64(Tag.mountKind, kind).string(Tag.mountTarget, destination);
  if (kind === MountKind.bind || kind === MountKind.overlay) fields.string(Tag.mountSource, source);

  const data: string[] = [];
  let attributes = 0;
  for (const option of options) {
    const attribute = ATTRIBUTES[option];
    const propagation = PROPAGATION[option];
    if (attribute !== undefined) attributes |= attribute;
    else if (propagation !== undefined) fields.u64(Tag.mountPropagation, propagation);
    else if (option.startsWith('scratch=')) fields.string(Tag.mountScratch, option.slice(8));
    else if (IDMAP_WORDS.has(option)) fields.u64(Tag.mountIdMapped, 1);
    else if (!BIND_WORDS.has(option)) data.push(option);
  }
  if (!PREPARED_MOUNTS.has(mount)) fields.strings(Tag.mountData, data);
  if (attributes !== 0) fields.u64(Tag.mountAttr, attributes);
  if (options.includes('rro')) fields.u64(Tag.mountAttrRecursive, 1);
  if (options.includes('bind')) fields.u64(Tag.mountRecursive, 0);
}

/** MS_SLAVE and MS_SHARED of mount(2); private is what a mount is anyway. */
const PROPAGATION: Readonly<Record<string, number>> = {
  slave: 0x8_0000,
  rslave: 0x8_0000,
  shared: 0x10_0000,
  rshared: 0x10_0000,
};

/** A tmpfs on /dev gets its nodes, whoever asks for it; /dev/shm is a kind of its own where it is ours. */
function kindOf(mount: OciMount): MountKind {
  const { destination, type } = mount;
  if (type === 'tmpfs' && destination === '/dev') return MountKind.dev;
  if (destination === '/dev/shm' && PREPARED_MOUNTS.has(mount)) return MountKind.shm;
  return KINDS[type] ?? MountKind.bind;
}

const IDMAP_WORDS: ReadonlySet<string> = new Set(['idmap', 'ridmap']);

/** Said for the reader of the plan: they are what a bind is anyway. */
const BIND_WORDS: ReadonlySet<string> = new Set(['bind', 'rbind', 'private', 'rprivate']);
