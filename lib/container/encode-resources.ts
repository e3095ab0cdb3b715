// Limits of a plan → the fields of a Launch.
import { DeviceAccess, Tag } from '../native/protocol.js';
import type { FieldWriter } from '../native/wire.js';
import { DEFAULT_DEVICE_RULES } from './device-rules.js';
import type { OciBlockIo, OciDeviceNumber, OciDeviceRule, OciResources } from './oci-spec.js';

const UNLIMITED = 2n ** 64n - 1n;

const orUnlimited = (value: number): number | bigint => (value === -1 ? UNLIMITED : value);

export function encodeResources(fields: FieldWriter, resources: OciResources): void {
  const { devices, ...limits } = resources;
  // The default ones are on every group before it is asked for.
  if (devices !== undefined && devices !== DEFAULT_DEVICE_RULES) {
    for (const rule of devices) encodeRule(fields, rule);
  }
  if (Object.keys(limits).length === 0) return;
  fields.group(Tag.limits, (group) => {
    const { memory, cpu, pids, blockIO, hugepageLimits } = limits;
    number(group, Tag.memoryLimit, memory?.limit);
    number(group, Tag.memorySwap, memory?.swap);
    number(group, Tag.memoryReservation, memory?.reservation);
    number(group, Tag.cpuShares, cpu?.shares);
    number(group, Tag.cpuWeight, cpu?.shares === undefined ? undefined : weightOf(cpu.shares));
    number(group, Tag.cpuQuota, cpu?.quota);
    number(group, Tag.cpuPeriod, cpu?.period);
    if (cpu?.cpus !== undefined) group.string(Tag.cpusetCpus, cpu.cpus);
    if (cpu?.mems !== undefined) group.string(Tag.cpusetMems, cpu.mems);
    number(group, Tag.pidsLimit, pids?.limit);
    if (blockIO !== undefined) encodeIo(group, blockIO);
    for (const { pageSize, limit } of hugepageLimits ?? []) {
      group.group(Tag.hugepage, (pages) => {
        pages.string(Tag.key, pageSize).u64(Tag.hugepageBytes, limit);
      });
    }
  });
}

function number(fields: FieldWriter, tag: Tag, value: number | undefined): void {
  if (value !== undefined) fields.u64(tag, orUnlimited(value));
}

/**
 * Shares of v1 as a weight of v2: the curve through (2, 1), (1024, 100) and (262144, 10000) that runc, crun and
 * Kubernetes have agreed on, so that what is unsaid weighs as much as what says the default.
 */
export function weightOf(shares: number): number {
  const log = Math.log2(shares);
  const exponent = (log * log + 125 * log) / 612 - 7 / 34;
  return Math.min(10_000, Math.max(1, Math.ceil(10 ** exponent - 1e-9)));
}

const IO_TAGS = {
  weightDevice: Tag.ioWeight,
  throttleReadBpsDevice: Tag.ioReadBytes,
  throttleWriteBpsDevice: Tag.ioWriteBytes,
  throttleReadIOPSDevice: Tag.ioReadRequests,
  throttleWriteIOPSDevice: Tag.ioWriteRequests,
} as const satisfies Record<keyof OciBlockIo, Tag>;

/** OCI lists devices by limit, the kernel's files take limits by device. */
function encodeIo(fields: FieldWriter, blockIO: OciBlockIo): void {
  const devices = new Map<string, { device: OciDeviceNumber; limits: [Tag, number][] }>();
  for (const key of Object.keys(IO_TAGS) as (keyof OciBlockIo)[]) {
    for (const item of blockIO[key] ?? []) {
      const name = `${item.major}:${item.minor}`;
      const entry = devices.get(name) ?? { device: item, limits: [] };
      entry.limits.push([IO_TAGS[key], 'weight' in item ? item.weight : item.rate]);
      devices.set(name, entry);
    }
  }
  for (const { device, limits } of devices.values()) {
    fields.group(Tag.ioDevice, (group) => {
      group.u64(Tag.ioMajor, device.major).u64(Tag.ioMinor, device.minor);
      for (const [tag, value] of limits) group.u64(tag, value);
    });
  }
}

const ACCESS: Readonly<Record<string, number>> = {
  r: DeviceAccess.read,
  w: DeviceAccess.write,
  m: DeviceAccess.make,
};

function encodeRule(
  fields: FieldWriter,
  { allow, type, major, minor, access }: OciDeviceRule,
): void {
  const bits = Array.from(access).reduce((sum, letter) => sum | (ACCESS[letter] ?? 0), 0);
  fields.group(Tag.deviceRule, (rule) => {
    rule.u64(Tag.ruleAllow, allow ? 1 : 0).u64(Tag.ruleKind, type.charCodeAt(0));
    rule.u64(Tag.ruleMajor, major ?? UNLIMITED).u64(Tag.ruleMinor, minor ?? UNLIMITED);
    rule.u64(Tag.ruleAccess, bits);
  });
}
