import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { DEFAULT_DEVICE_RULES, deviceRules } from '../../../lib/container/device-rules.js';
import { encodeResources, weightOf } from '../../../lib/container/encode-resources.js';
import { NO_LIMITS, parseLimits } from '../../../lib/container/limits-request.js';
import {
  planOomScore,
  planResources,
  type ResourcesHost,
} from '../../../lib/container/plan-resources.js';
import type { HostDevice } from '../../../lib/host/devices.js';
import { Control, Tag } from '../../../lib/native/protocol.js';
import { FieldReader, FieldWriter } from '../../../lib/native/wire.js';
import { repository } from '../../helpers/native.js';

const MIB = 2 ** 20;
const SDA: HostDevice = {
  path: '/dev/sda',
  type: 'b',
  major: 8,
  minor: 0,
  mode: 0o660,
  uid: 0,
  gid: 0,
  mayRead: true,
  mayWrite: true,
};
const HOST: ResourcesHost = {
  rootless: false,
  controls: 0x3ff,
  oomScoreAdj: 0,
  pageSizes: ['2MB'],
  devicesAt: (path) => (path === SDA.path ? [SDA] : []),
};

const refusal = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
};

const plan = (limits: unknown, host: Partial<ResourcesHost> = {}) =>
  planResources(parseLimits(limits), DEFAULT_DEVICE_RULES, { ...HOST, ...host });

describe('request', () => {
  test.each([
    [{ memoryBytes: 0 }, 'limits.memoryBytes'],
    [{ memoryBytes: '64M' }, 'limits.memoryBytes'],
    [{ memorySwapBytes: '64MiB' }, 'limits.memorySwapBytes'],
    [{ memoryBytes: '64MiB', memorySwapBytes: '32MiB' }, 'limits.memorySwapBytes'],
    [{ memoryBytes: '64MiB', memorySwapBytes: -2 }, 'limits.memorySwapBytes'],
    [{ memoryBytes: '64MiB', memoryReservationBytes: '65MiB' }, 'limits.memoryReservationBytes'],
    [{ cpus: 0 }, 'limits.cpus'],
    [{ cpus: Number.NaN }, 'limits.cpus'],
    [{ cpus: '1' }, 'limits.cpus'],
    [{ cpuShares: 1 }, 'limits.cpuShares'],
    [{ cpusetCpus: '' }, 'limits.cpusetCpus'],
    [{ cpusetCpus: '0\n1' }, 'limits.cpusetCpus'],
    [{ cpusetCpus: '3-1' }, 'limits.cpusetCpus'],
    [{ cpusetMems: '0,' }, 'limits.cpusetMems'],
    [{ pids: -2 }, 'limits.pids'],
    [{ pids: 1.5 }, 'limits.pids'],
    [{ oomScoreAdj: 1001 }, 'limits.oomScoreAdj'],
    [{ io: [{}] }, 'limits.io[0].device'],
    [{ io: [{ device: '/dev/sda' }] }, 'limits.io[0]'],
    [{ io: [{ device: 'sda', weight: 5 }] }, 'limits.io[0].device'],
    [{ io: [{ device: '/dev/sda', weight: 1001 }] }, 'limits.io[0].weight'],
    [{ io: [{ device: '/dev/sda', readBytesPerSecond: 0 }] }, 'limits.io[0].readBytesPerSecond'],
    [
      {
        io: [
          { device: '/dev/sda', weight: 5 },
          { device: '/dev//sda', weight: 6 },
        ],
      },
      'limits.io[1].device',
    ],
    [{ hugepages: { '2M': 1 } }, 'limits.hugepages'],
    [{ hugepages: { '2MB/../x': 1 } }, 'limits.hugepages'],
    [{ hugepages: { '2MB': -1 } }, 'limits.hugepages.2MB'],
  ])('%j', (limits, option) => {
    expect(refusal(() => parseLimits(limits))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option },
    });
  });

  test('nothing asked is nothing said', () => {
    expect(parseLimits(undefined)).toBe(NO_LIMITS);
    expect(parseLimits({ memoryBytes: undefined })).toEqual({});
  });
});

describe('plan', () => {
  test.each<[object, object]>([
    [{ memoryBytes: '64MiB' }, { memory: { limit: 64 * MIB, swap: 128 * MIB } }],
    [{ memoryBytes: MIB, memorySwapBytes: -1 }, { memory: { limit: MIB, swap: -1 } }],
    [{ memoryBytes: MIB, memorySwapBytes: MIB }, { memory: { limit: MIB, swap: MIB } }],
    [{ memoryReservationBytes: MIB }, { memory: { reservation: MIB } }],
    [{ cpus: 1.5 }, { cpu: { quota: 150_000, period: 100_000 } }],
    [{ cpus: 0.01, cpuShares: 2 }, { cpu: { shares: 2, quota: 1000, period: 100_000 } }],
    [{ cpusetCpus: '0-1', cpusetMems: '0' }, { cpu: { cpus: '0-1', mems: '0' } }],
    [{ pids: 0 }, { pids: { limit: 1 } }],
    [{ pids: -1 }, { pids: { limit: -1 } }],
    [{ hugepages: { '2MB': '4MiB' } }, { hugepageLimits: [{ pageSize: '2MB', limit: 4 * MIB }] }],
    [
      { io: [{ device: '/dev/sda', weight: 7, writeBytesPerSecond: MIB }] },
      {
        blockIO: {
          weightDevice: [{ major: 8, minor: 0, weight: 7 }],
          throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: MIB }],
        },
      },
    ],
  ])('%j', (limits, resources) => {
    expect(plan(limits)).toEqual({ devices: DEFAULT_DEVICE_RULES, ...resources });
  });

  test('where nothing is asked, plans share what they say', () => {
    expect(plan(undefined)).toBe(plan(undefined));
    expect(plan(undefined, { controls: 0 })).toBeUndefined();
  });

  test.each<[object, keyof typeof Control, string]>([
    [{ memoryBytes: MIB }, 'memory', 'limits.memoryBytes'],
    [{ memoryReservationBytes: MIB }, 'memory', 'limits.memoryReservationBytes'],
    [{ memoryBytes: MIB, memorySwapBytes: 2 * MIB }, 'swap', 'limits.memorySwapBytes'],
    [{ cpus: 1 }, 'cpu', 'limits.cpus'],
    [{ cpuShares: 5 }, 'cpu', 'limits.cpuShares'],
    [{ cpusetCpus: '0' }, 'cpuset', 'limits.cpusetCpus'],
    [{ cpusetMems: '0' }, 'cpuset', 'limits.cpusetMems'],
    [{ pids: 5 }, 'pids', 'limits.pids'],
    [{ io: [{ device: '/dev/sda', readOperationsPerSecond: 5 }] }, 'io', 'limits.io'],
    [{ io: [{ device: '/dev/sda', weight: 5 }] }, 'ioWeight', 'limits.io[].weight'],
    [{ hugepages: { '2MB': 0 } }, 'hugepages', 'limits.hugepages'],
  ])('%j without %s is refused, with what to do', (limits, control, what) => {
    const lacking = { controls: HOST.controls & ~Control[control] };
    for (const rootless of [false, true]) {
      const error = refusal(() => plan(limits, { ...lacking, rootless }));
      expect(error).toMatchObject({ code: 'ERR_UNSUPPORTED', details: { what } });
      expect(error).toHaveProperty('hint');
    }
  });

  test('swap that nobody counts is no limit', () => {
    const controls = HOST.controls & ~Control.swap;
    for (const memorySwapBytes of [undefined, -1, MIB]) {
      const resources = plan({ memoryBytes: MIB, memorySwapBytes }, { controls });
      expect(resources?.memory).toEqual({ limit: MIB });
    }
  });

  test('what is no disk, and pages of a size that there is not', () => {
    const io = [{ device: '/dev/null', weight: 5 }];
    expect(refusal(() => plan({ io }))).toMatchObject({
      details: { option: 'limits.io[0].device' },
    });
    expect(refusal(() => plan({ hugepages: { '1GB': 0 } }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });

  test('an ordinary user’s score can only be raised', () => {
    const host = { ...HOST, rootless: true, oomScoreAdj: 100 };
    expect(planOomScore({ oomScoreAdj: 100 }, host)).toBe(100);
    expect(planOomScore({ oomScoreAdj: -5 }, HOST)).toBe(-5);
    expect(refusal(() => planOomScore({ oomScoreAdj: 99 }, host))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
    });
  });
});

describe('devices', () => {
  test('the native part has the same default rules', () => {
    const source = readFileSync(join(repository, 'addon', 'launch', 'device_control.cc'), 'utf8');
    const rows = source.matchAll(/\{(true|false), '(\w)', (kAll|kMake), (\w+), (\w+)\}/g);
    const number = (text: string | undefined) => (text === 'kAny' ? undefined : Number(text));
    const native = Array.from(rows, ([, allow, type, access, major, minor]) => ({
      allow: allow === 'true',
      type,
      access: access === 'kAll' ? 'rwm' : 'm',
      major: number(major),
      minor: number(minor),
    }));
    expect(
      DEFAULT_DEVICE_RULES.map((rule) => ({ major: undefined, minor: undefined, ...rule })),
    ).toEqual(native);
  });

  test('given ones come after, privileged is all', () => {
    const fuse = { type: 'c', major: 10, minor: 229, permissions: 'rw' } as const;
    expect(deviceRules([], false)).toBe(DEFAULT_DEVICE_RULES);
    expect(deviceRules([fuse], false).at(-1)).toEqual({
      allow: true,
      type: 'c',
      major: 10,
      minor: 229,
      access: 'rw',
    });
    expect(deviceRules([fuse], true)).toEqual([{ allow: true, type: 'a', access: 'rwm' }]);
  });
});

test('the default ones are not sent, all others are, in order', () => {
  const rulesOf = (devices: ReturnType<typeof deviceRules>): boolean => {
    const fields = new FieldWriter();
    encodeResources(fields, { devices });
    return new FieldReader(fields.bytes()).has(Tag.deviceRule);
  };
  expect(rulesOf(deviceRules([], false))).toBe(false);
  expect(rulesOf(deviceRules([], true))).toBe(true);
});

test('shares as a weight', () => {
  expect([2, 1024, 262_144].map(weightOf)).toEqual([1, 100, 10_000]);
  expect(weightOf(3072)).toBe(240);
});
