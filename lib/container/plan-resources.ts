// What a container may use, as OCI says it. What this machine cannot limit is refused here.
import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { HostDevice } from '../host/devices.js';
import { remedyOf } from '../host/remedies.js';
import { Control } from '../native/protocol.js';
import { DEFAULT_DEVICE_RULES } from './device-rules.js';
import { NO_LIMITS, type IoAsked, type LimitsRequest } from './limits-request.js';
import type { OciBlockIo, OciDeviceRule, OciResources, OciThrottle } from './oci-spec.js';

/** What limits must know of the machine. */
export interface ResourcesHost {
  readonly rootless: boolean;
  /** What its cgroups can do: bits of `Control`. */
  readonly controls: number;
  /** Of this program, which an ordinary user cannot go below. */
  readonly oomScoreAdj: number;
  /** Sizes of huge pages, as `2MB`. */
  readonly pageSizes: readonly string[];
  /** The node at a path of the machine, or those below a folder. */
  readonly devicesAt: (path: string) => readonly HostDevice[];
}

/** Said in every plan that asks for nothing: prepared groups have them. */
const DEFAULT_RESOURCES: OciResources = Object.freeze({ devices: DEFAULT_DEVICE_RULES });

/** Undefined: there is nothing to be said, and nothing to say it to. */
export function planResources(
  limits: LimitsRequest,
  devices: readonly OciDeviceRule[],
  host: ResourcesHost,
): OciResources | undefined {
  const ruled = (host.controls & Control.devices) !== 0;
  if (limits === NO_LIMITS) {
    if (!ruled) return undefined;
    return devices === DEFAULT_DEVICE_RULES ? DEFAULT_RESOURCES : { devices };
  }
  const resources: OciResources = {
    ...(ruled ? { devices } : {}),
    ...planMemory(limits, host),
    ...planCpu(limits, host),
    ...planPids(limits, host),
    ...planIo(limits, host),
    ...planHugepages(limits, host),
  };
  return Object.keys(resources).length === 0 ? undefined : resources;
}

/** @throws {@link CaissonError} `ERR_UNSUPPORTED` where an ordinary user may not. */
export function planOomScore(
  { oomScoreAdj }: LimitsRequest,
  host: ResourcesHost,
): number | undefined {
  if (oomScoreAdj === undefined || !host.rootless || oomScoreAdj >= host.oomScoreAdj) {
    return oomScoreAdj;
  }
  const what = `limits.oomScoreAdj below this program's own ${host.oomScoreAdj} as an ordinary user`;
  throw new CaissonError('ERR_UNSUPPORTED', { what });
}

type Part<K extends keyof OciResources> = Pick<OciResources, K>;

function planMemory(limits: LimitsRequest, host: ResourcesHost): Part<'memory'> {
  const { memoryBytes: limit, memoryReservationBytes: reservation } = limits;
  if (limit === undefined && reservation === undefined) return {};
  need(host, 'memory', limit === undefined ? 'memoryReservationBytes' : 'memoryBytes');
  const swap = limit === undefined ? undefined : planSwap(limits, limit, host);
  return { memory: compact({ limit, swap, reservation }) };
}

/** Docker's rule, where nothing is said: as much swap as memory. */
function planSwap(
  { memorySwapBytes: asked }: LimitsRequest,
  limit: number,
  host: ResourcesHost,
): number | undefined {
  if ((host.controls & Control.swap) !== 0) return asked ?? Math.min(2 * limit, MOST_BYTES);
  // A kernel that does not count swap has none, or gives it without bound: that is no limit of ours.
  if (asked === undefined || asked === -1 || asked === limit) return undefined;
  need(host, 'swap', 'memorySwapBytes');
  return asked;
}

const MOST_BYTES = Number.MAX_SAFE_INTEGER;

/** A tenth of a second, as everybody has it. */
const PERIOD_US = 100_000;

function planCpu(limits: LimitsRequest, host: ResourcesHost): Part<'cpu'> {
  const { cpus, cpuShares: shares, cpusetCpus, cpusetMems } = limits;
  if (cpus !== undefined) need(host, 'cpu', 'cpus');
  if (shares !== undefined) need(host, 'cpu', 'cpuShares');
  if (cpusetCpus !== undefined) need(host, 'cpuset', 'cpusetCpus');
  if (cpusetMems !== undefined) need(host, 'cpuset', 'cpusetMems');
  const quota = cpus === undefined ? undefined : Math.round(cpus * PERIOD_US);
  const period = quota === undefined ? undefined : PERIOD_US;
  const cpu = compact({ shares, quota, period, cpus: cpusetCpus, mems: cpusetMems });
  return Object.keys(cpu).length === 0 ? {} : { cpu };
}

function planPids({ pids }: LimitsRequest, host: ResourcesHost): Part<'pids'> {
  if (pids === undefined) return {};
  need(host, 'pids', 'pids');
  // Pid 1 itself counts: none beside it is one.
  return { pids: { limit: pids === 0 ? 1 : pids } };
}

function planIo({ io }: LimitsRequest, host: ResourcesHost): Part<'blockIO'> {
  if (io === undefined || io.length === 0) return {};
  const devices = io.map(({ device }, index) => {
    const found = host.devicesAt(device).find(({ path, type }) => path === device && type === 'b');
    if (found === undefined) throw invalid(`limits.io[${index}].device`, 'must be a block device');
    return { major: found.major, minor: found.minor };
  });
  const list = (
    key: Exclude<keyof IoAsked, 'device' | 'weight'>,
  ): readonly OciThrottle[] | undefined => {
    const items = io.flatMap((asked, index) => {
      const [device, rate] = [devices[index], asked[key]];
      return device === undefined || rate === undefined ? [] : [{ ...device, rate }];
    });
    if (items.length === 0) return undefined;
    need(host, 'io', 'io');
    return items;
  };
  const weights = io.flatMap(({ weight }, index) => {
    const device = devices[index];
    return device === undefined || weight === undefined ? [] : [{ ...device, weight }];
  });
  if (weights.length > 0) need(host, 'ioWeight', 'io[].weight');
  const blockIO: OciBlockIo = compact({
    weightDevice: weights.length === 0 ? undefined : weights,
    throttleReadBpsDevice: list('readBytesPerSecond'),
    throttleWriteBpsDevice: list('writeBytesPerSecond'),
    throttleReadIOPSDevice: list('readOperationsPerSecond'),
    throttleWriteIOPSDevice: list('writeOperationsPerSecond'),
  });
  return { blockIO };
}

function planHugepages({ hugepages }: LimitsRequest, host: ResourcesHost): Part<'hugepageLimits'> {
  if (hugepages === undefined || hugepages.length === 0) return {};
  need(host, 'hugepages', 'hugepages');
  return {
    hugepageLimits: hugepages.map(({ pageSize, bytes }) => {
      if (!host.pageSizes.includes(pageSize)) {
        const reason = `this machine has huge pages of ${host.pageSizes.join(', ') || 'no size'}`;
        throw new CaissonError('ERR_UNSUPPORTED', { what: `limits.hugepages.${pageSize}`, reason });
      }
      return { pageSize, limit: bytes };
    }),
  };
}

interface Missing {
  readonly reason: string;
  /** Of remedyFor, as root; an ordinary user needs a delegated group. */
  readonly cause: string;
}

const controller = (name: string, cause = 'no-controller'): Missing => ({
  reason: `the cgroup controller ${name} is not at hand`,
  cause,
});

const MISSING: Readonly<Record<Exclude<keyof typeof Control, 'freeze' | 'devices'>, Missing>> = {
  memory: controller('memory', 'kernel-command-line'),
  swap: { reason: 'the kernel does not count swap', cause: 'no-swap-accounting' },
  cpu: controller('cpu'),
  cpuset: controller('cpuset'),
  pids: controller('pids'),
  io: controller('io'),
  ioWeight: { reason: 'nothing weighs the disks of this machine', cause: 'no-io-weight' },
  hugepages: controller('hugetlb'),
};

/** @throws {@link CaissonError} `ERR_UNSUPPORTED` with what to do, unless the machine has it. */
function need(host: ResourcesHost, control: keyof typeof MISSING, limit: string): void {
  if ((host.controls & Control[control]) !== 0) return;
  const { reason, cause } = MISSING[control];
  const delegated = host.rootless && cause !== 'no-swap-accounting' && cause !== 'no-io-weight';
  const hint = remedyOf('cgroup-controllers', delegated ? 'not-delegated' : cause);
  const who = delegated ? `${reason}, or not delegated to this user` : reason;
  throw new CaissonError('ERR_UNSUPPORTED', { what: `limits.${limit}`, reason: who }, { hint });
}

type Compact<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without what is undefined. */
function compact<T extends object>(value: T): Compact<T> {
  return Object.fromEntries(
    Object.entries(value).filter(([, part]) => part !== undefined),
  ) as Compact<T>;
}
