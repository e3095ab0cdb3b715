import { checkAbsolutePath, invalid, quote } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { remedyOf } from '../host/remedies.js';
import type { ResolvedImage } from '../image/resolved-image.js';
import { grantCapabilities, type CapabilityHost } from './capabilities.js';
import {
  capabilitySet,
  DEFAULT_PATH,
  defaultRlimits,
  networkSysctls,
  NO_SYSCTLS,
  OCI_VERSION,
  READ_ONLY_PATHS,
  UMASK,
} from './defaults.js';
import { deviceRules } from './device-rules.js';
import type { LogAsked } from './log-request.js';
import type { OciLinux, OciProcess, OciRlimit, OciSpec } from './oci-spec.js';
import { planDevices, type DeviceHost } from './plan-devices.js';
import { planAppArmor, planSelinux, type LabelHost } from './plan-label.js';
import { planFiles, type PlanFile } from './plan-files.js';
import { planMounts } from './plan-mounts.js';
import { checkSharings, isHosts, planHostname, planNamespaces } from './plan-namespaces.js';
import { planOomScore, planResources, type ResourcesHost } from './plan-resources.js';
import { checkArgumentSize, checkMapped, parseUser } from './process-request.js';
import type { ContainerRequest } from './request.js';
import { planSeccomp, type SeccompHost, type SeccompPlan } from './seccomp-plan.js';
import type { SecurityRequest } from './security-request.js';
import { NO_PEERS, sharingsOf, type Peers, type Sharings } from './shared-namespaces.js';
import { withTerm, type TerminalSize } from './terminal-request.js';
import { scopeOf } from './sysctl-request.js';
import type { IdMaps } from './userns-request.js';
import { checkUserns, groupsOf, ownerOf, planUserns, type Owner } from './plan-userns.js';

/** What a plan must know of the machine; everything in it was tried, nothing is a guess. */
export interface PlanHost
  extends SeccompHost, CapabilityHost, DeviceHost, ResourcesHost, LabelHost {
  /** How many ids of users and of groups containers have, from 0 on. */
  readonly uids: number;
  readonly gids: number;
  /** Whether containers get a cgroup of their own. */
  readonly cgroups: boolean;
  readonly hostname: string;
  /** Whether its POSIX message queues are mounted. */
  readonly mqueue: boolean;
  readonly hosts: string;
  readonly resolvConf: string;
  /** Soft limit of the stack, which bounds argv and env; Infinity for none. */
  readonly stackBytes: number;
  /** By default; frozen. */
  readonly maskedPaths: readonly string[];
  /** The kernel has them. */
  readonly timeNamespaces: boolean;
  /** Hard limit of open files. */
  readonly openFiles: number;
}

/** Everything a start needs, as plain data: an OCI config and the few things it cannot say. */
export interface Plan {
  readonly oci: OciSpec;
  /** What `hostname` gives inside; `oci` has it only where it is the container's own to set. */
  readonly hostname: string;
  /** The containers whose namespaces are shared. */
  readonly peers: Peers;
  /** Folders of the store, lowest first. */
  readonly layers: readonly string[];
  readonly files: readonly PlanFile[];
  /** As asked: names are looked up in the container's own files. */
  readonly user: string;
  readonly groupAdd: readonly string[];
  readonly seccomp: SeccompPlan;
  /** The user has no HOME in `env`: it is taken from the container's passwd. */
  readonly setHome: boolean;
  /** Absent: that of the Runtime. */
  readonly cgroupParent: string | undefined;
  readonly log: LogAsked;
  readonly stdin: 'pipe' | 'ignore';
  /** Process 1 is ours, and starts the command. */
  readonly init: boolean;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly stopSignal: string;
  /** Who its root is outside, with a user namespace of its own. */
  readonly owner: Owner | undefined;
}

/** devpts gives terminals to it: `tty`, everywhere. */
const TERMINAL_GROUP = 5;

/** Pure: the same request, image and machine give the same plan. */
export function planContainer(
  request: ContainerRequest,
  image: ResolvedImage,
  host: PlanHost,
  id: string,
  peers: Peers = NO_PEERS,
  autoIds?: IdMaps,
): Plan {
  const { process, security } = request;
  const sharings = sharingsOf(request);
  checkUserns(security, sharings, host);
  const userns = security.userns === 'auto' ? autoIds : security.userns;
  const gids = groupsOf(host, userns);
  checkSharings(request, sharings, peers, host);
  const ownNetwork = sharings.network === 'private';
  const hostname = planHostname(request, sharings, peers, host.hostname) ?? id.slice(0, 12);
  const args = planArgs(request, image);
  const env = withTerm(planEnv(hostname, image.config.Env ?? [], process.env), request.tty);
  checkArgumentSize(args, env, stackOf(security, host));

  const { rootless, cgroups } = host;
  const { privileged } = security;
  const capabilities = grantCapabilities(security, host);
  const devices = planDevices(security.devices, privileged, host, userns !== undefined);
  const hostIpc = isHosts('ipc', sharings, peers);
  const user = process.user ?? imageUser(image);
  checkMapped(user, security.groupAdd, host, userns);
  const oomScoreAdj = planOomScore(request.limits, host);
  const apparmorProfile = planAppArmor(security.apparmor, privileged, host);
  const selinuxLabel = planSelinux(security.selinux, 'security.selinux', host);
  const mountLabel = planSelinux(security.mountLabel, 'security.mountLabel', host);
  const resources = planResources(request.limits, deviceRules(devices.rules, privileged), host);
  return {
    oci: {
      ociVersion: OCI_VERSION,
      ...(sharings.uts === 'private' ? { hostname } : {}),
      root: { path: 'rootfs', readonly: security.readOnlyRootfs },
      process: {
        ...planTerminal(request.tty),
        user: ociUser(user),
        args,
        env,
        cwd: process.cwd ?? imageFolder(image),
        capabilities: capabilitySet(capabilities),
        rlimits: planRlimits(security, host),
        noNewPrivileges: security.noNewPrivileges,
        ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
        ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
        ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
      },
      mounts: planMounts(
        {
          rootless,
          cgroups,
          privileged,
          terminalGroup: gids > TERMINAL_GROUP,
          hostNetwork: isHosts('network', sharings, peers),
          hostPids: sharings.pid === 'host',
          userns: userns !== undefined,
          hostIpc,
          hostMqueue: hostIpc && host.mqueue,
        },
        image.mounts,
        request.mounts,
        devices.mounts,
      ),
      linux: {
        ...planUserns(userns, planClocks(security, planNamespaces(sharings, peers), host)),
        maskedPaths: security.maskedPaths ?? host.maskedPaths,
        readonlyPaths: security.readOnlyPaths ?? READ_ONLY_PATHS,
        sysctl: planSysctls(security, sharings, gids),
        devices: devices.nodes,
        ...(mountLabel === undefined ? {} : { mountLabel }),
        ...(resources === undefined ? {} : { resources }),
      },
    },
    hostname,
    peers,
    layers: image.layers,
    files: planFiles({
      hostname,
      ownNetwork,
      peer: peers.network?.files,
      dns: request.dns,
      extraHosts: request.extraHosts,
      host,
    }),
    user,
    groupAdd: security.groupAdd,
    seccomp: planSeccomp(security.seccomp, capabilities, host),
    setHome: !env.some((entry) => entry.startsWith('HOME=')),
    cgroupParent: planParent(request, host),
    log: request.log,
    stdin: request.stdin,
    init: request.init,
    timeoutMs: process.timeoutMs,
    stopSignal: image.config.StopSignal ?? 'SIGTERM',
    owner: ownerOf(userns),
  };
}

function planParent({ cgroupParent }: ContainerRequest, host: PlanHost): string | undefined {
  if (cgroupParent === undefined || host.cgroups) return cgroupParent;
  const hint = remedyOf('cgroups', 'not-delegated');
  const reason = 'containers have no cgroup of their own here';
  throw new CaissonError('ERR_UNSUPPORTED', { what: 'cgroupParent', reason }, { hint });
}

/** Docker's rule: a given entrypoint makes the image's Cmd void, a given argv replaces it. */
function planArgs(request: ContainerRequest, { config }: ResolvedImage): readonly string[] {
  const entrypoint = request.entrypoint ?? config.Entrypoint ?? [];
  const cmd = request.argv ?? (request.entrypoint === undefined ? (config.Cmd ?? []) : []);
  const args = entrypoint.length === 0 ? cmd : [...entrypoint, ...cmd];
  if (args.length === 0) {
    throw invalid('argv', 'nothing to run: neither argv nor an entrypoint, and the image has none');
  }
  return args;
}

/** Docker's rule: defaults, then the image's, then the user's; each name once, where it first stood. */
export function planEnv(
  hostname: string,
  image: readonly string[],
  asked: Readonly<Record<string, string>>,
): readonly string[] {
  const values = new Map([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostname],
  ]);
  for (const entry of image) {
    const equals = entry.indexOf('=');
    if (equals > 0) values.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const name in asked) values.set(name, asked[name] ?? '');
  return Array.from(values, ([name, value]) => `${name}=${value}`);
}

function planTerminal(
  size: TerminalSize | undefined,
): Pick<OciProcess, 'terminal' | 'consoleSize'> {
  if (size === undefined) return { terminal: false };
  return { terminal: true, consoleSize: { height: size.rows, width: size.columns } };
}

/** What an image says is as unknown as what a user says: strictly the same rules. */
function imageUser({ config }: ResolvedImage): string {
  return config.User === undefined || config.User === ''
    ? '0'
    : parseUser(config.User, "the image's User");
}

/** Docker's rule: one that is relative, as images have it that others made, is taken from the root. */
function imageFolder({ config: { WorkingDir = '' } }: ResolvedImage): string {
  const path = WorkingDir.startsWith('/') ? WorkingDir : `/${WorkingDir}`;
  return checkAbsolutePath(path, "the image's WorkingDir");
}

function ociUser(user: string): OciProcess['user'] {
  const [uid = '', gid = ''] = user.split(':');
  const numeric = /^\d+$/.test(uid) && /^\d*$/.test(gid);
  return {
    uid: /^\d+$/.test(uid) ? Number(uid) : 0,
    gid: /^\d+$/.test(gid) ? Number(gid) : 0,
    umask: UMASK,
    ...(numeric ? {} : { username: user }),
  };
}

function planClocks(
  { timeOffsets }: SecurityRequest,
  namespaces: OciLinux['namespaces'],
  host: PlanHost,
): Pick<OciLinux, 'namespaces' | 'timeOffsets'> {
  if (timeOffsets === undefined) return { namespaces };
  if (!host.timeNamespaces) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what: 'security.timeOffsets', reason: 'this kernel has no time namespaces' },
      { hint: 'Run Linux 5.6 or later, built with CONFIG_TIME_NS.' },
    );
  }
  return { namespaces: [...namespaces, { type: 'time' }], timeOffsets };
}

function planSysctls(
  { sysctls }: SecurityRequest,
  sharings: Sharings,
  gids: number,
): OciSpec['linux']['sysctl'] {
  const ours = sharings.network === 'private' ? networkSysctls(gids) : NO_SYSCTLS;
  const names = Object.keys(sysctls);
  if (names.length === 0) return ours;
  for (const name of names) {
    const scope = scopeOf(name);
    if (scope === undefined || sharings[scope] === 'private') continue;
    const whose = sharings[scope] === 'host' ? "the machine's" : "another container's";
    throw invalid(`security.sysctls[${quote(name)}]`, `is ${whose}: the ${scope} is shared`);
  }
  const dotted = new Set(names.map((name) => name.replaceAll('/', '.')));
  const kept = Object.entries(ours).filter(([name]) => !dotted.has(name));
  return { ...Object.fromEntries(kept), ...sysctls };
}

function planRlimits({ ulimits }: SecurityRequest, host: PlanHost): readonly OciRlimit[] {
  const limits = defaultRlimits(host.openFiles);
  if (ulimits.length === 0) return limits;
  const asked = ulimits.map(({ name, soft, hard }) => ({
    type: `RLIMIT_${name.toUpperCase()}`,
    soft: finite(soft),
    hard: finite(hard),
  }));
  const names = new Set(asked.map(({ type }) => type));
  return [...limits.filter(({ type }) => !names.has(type)), ...asked];
}

const finite = (limit: number): number => (limit === Infinity ? -1 : limit);

function stackOf({ ulimits }: SecurityRequest, host: PlanHost): number {
  return ulimits.find(({ name }) => name === 'stack')?.soft ?? host.stackBytes;
}
