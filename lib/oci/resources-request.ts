import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkString,
  invalid,
} from '../errors/arguments.js';
import { DEFAULT_DEVICE_RULES } from '../container/device-rules.js';
import type { OciDeviceRule, OciResources } from '../container/oci-spec.js';
import { items, refuse, section } from './config-checks.js';

const UNLIMITED = -1;

/** Undefined: nothing is limited, and devices are ruled as everywhere. */
export function parseResources(value: unknown): OciResources {
  const option = 'linux.resources';
  const bag = section(value, option);
  refuse(bag, option, ['network', 'rdma', 'unified']);
  const memory = parseMemory(bag['memory']);
  const cpu = parseCpu(bag['cpu']);
  const pids = section(bag['pids'], `${option}.pids`)['limit'];
  const hugepageLimits = parseHugepages(bag['hugepageLimits']);
  const blockIO = parseBlockIo(bag['blockIO']);
  return {
    devices: parseRules(bag['devices']),
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(pids === undefined ? {} : { pids: { limit: parsePids(pids) } }),
    ...(hugepageLimits.length === 0 ? {} : { hugepageLimits }),
    ...(Object.keys(blockIO).length === 0 ? {} : { blockIO }),
  };
}

/** The spec's own: 0 and what is below it are no limit. */
function parsePids(value: unknown): number {
  const limit = checkInteger(value, 'linux.resources.pids.limit', Number.MIN_SAFE_INTEGER);
  return limit > 0 ? limit : UNLIMITED;
}

/**
 * Rules are laid on in their order, and those for the nodes that every container has come last: a config
 * forbids all and counts on them, as with other runtimes.
 */
function parseRules(value: unknown): readonly OciDeviceRule[] {
  const asked = items(value, 'linux.resources.devices');
  if (asked.length === 0) return DEFAULT_DEVICE_RULES;
  const rules = asked.map((item, index): OciDeviceRule => {
    const option = `linux.resources.devices[${index}]`;
    const bag = section(item, option);
    const access = checkString(bag['access'] ?? 'rwm', `${option}.access`);
    if (!/^[rwm]{1,3}$/.test(access)) {
      throw invalid(`${option}.access`, `must be of r, w and m, not ${JSON.stringify(access)}`);
    }
    const number = (name: 'major' | 'minor'): { major?: number; minor?: number } => {
      const asNumber = bag[name];
      if (asNumber === undefined || asNumber === null || asNumber === UNLIMITED) return {};
      return { [name]: checkInteger(asNumber, `${option}.${name}`, 0, 0xfffff) };
    };
    return {
      allow: checkBoolean(bag['allow'], `${option}.allow`),
      type: checkOneOf(bag['type'] ?? 'a', `${option}.type`, ['a', 'b', 'c']),
      ...number('major'),
      ...number('minor'),
      access,
    };
  });
  return [...rules, ...DEFAULT_DEVICE_RULES.filter(({ allow }) => allow)];
}

function parseMemory(value: unknown): NonNullable<OciResources['memory']> {
  const option = 'linux.resources.memory';
  const bag = section(value, option);
  refuse(bag, option, ['disableOOMKiller', 'kernel', 'kernelTCP', 'swappiness']);
  const size = (name: string): number | undefined => {
    const bytes = bag[name];
    return bytes === undefined || bytes === null
      ? undefined
      : checkInteger(bytes, `${option}.${name}`, UNLIMITED);
  };
  const [limit, swap, reservation] = [size('limit'), size('swap'), size('reservation')];
  if (swap !== undefined && swap !== UNLIMITED && (limit === undefined || swap < limit)) {
    throw invalid(`${option}.swap`, 'counts memory and swap together: not below the limit');
  }
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(swap === undefined ? {} : { swap }),
    ...(reservation === undefined ? {} : { reservation }),
  };
}

function parseCpu(value: unknown): NonNullable<OciResources['cpu']> {
  const option = 'linux.resources.cpu';
  const bag = section(value, option);
  refuse(bag, option, ['burst', 'idle', 'realtimePeriod', 'realtimeRuntime']);
  const { shares, quota, period, cpus, mems } = bag;
  // 0 and less: none, as the kernel has it.
  const limited = quota !== undefined && checkInteger(quota, `${option}.quota`, UNLIMITED) > 0;
  const text = (name: 'cpus' | 'mems', list: unknown): { cpus?: string; mems?: string } =>
    list === undefined || list === '' ? {} : { [name]: checkString(list, `${option}.${name}`) };
  return {
    ...(shares === undefined || shares === 0
      ? {}
      : { shares: checkInteger(shares, `${option}.shares`, 2, 262_144) }),
    ...(limited
      ? {
          quota: quota as number,
          period: checkInteger(period ?? 100_000, `${option}.period`, 1000, 1_000_000),
        }
      : {}),
    ...text('cpus', cpus),
    ...text('mems', mems),
  };
}

function parseHugepages(value: unknown): { pageSize: string; limit: number }[] {
  return items(value, 'linux.resources.hugepageLimits').map((item, index) => {
    const option = `linux.resources.hugepageLimits[${index}]`;
    const bag = section(item, option);
    const pageSize = checkString(bag['pageSize'], `${option}.pageSize`);
    if (!/^[1-9]\d*[KMG]B$/.test(pageSize)) {
      throw invalid(`${option}.pageSize`, `must be like "2MB", not ${JSON.stringify(pageSize)}`);
    }
    return { pageSize, limit: checkInteger(bag['limit'], `${option}.limit`, 0) };
  });
}

const THROTTLES = [
  'throttleReadBpsDevice',
  'throttleWriteBpsDevice',
  'throttleReadIOPSDevice',
  'throttleWriteIOPSDevice',
] as const;

function parseBlockIo(value: unknown): NonNullable<OciResources['blockIO']> {
  const option = 'linux.resources.blockIO';
  const bag = section(value, option);
  refuse(bag, option, ['leafWeight', 'weight']);
  const list = <K extends string>(name: string, key: K) =>
    items(bag[name], `${option}.${name}`).map((item, index) => {
      const path = `${option}.${name}[${index}]`;
      const device = section(item, path);
      const number = (field: string, least: number): number =>
        checkInteger(device[field], `${path}.${field}`, least);
      return {
        major: number('major', 0),
        minor: number('minor', 0),
        [key]: number(key, 1),
      } as { major: number; minor: number } & Record<K, number>;
    });
  const weights = list('weightDevice', 'weight');
  return {
    ...(weights.length === 0 ? {} : { weightDevice: weights }),
    ...Object.fromEntries(
      THROTTLES.map((name) => [name, list(name, 'rate')] as const).filter(
        ([, throttles]) => throttles.length > 0,
      ),
    ),
  };
}
