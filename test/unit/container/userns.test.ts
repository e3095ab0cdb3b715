import { describe, expect, test } from 'vitest';

import { freeRanges } from '../../../lib/container/auto-ids.js';
import {
  countOf,
  hostIdOf,
  parseUserns,
  type IdMaps,
} from '../../../lib/container/userns-request.js';

const entry = (containerId: number, hostId: number, size: number) => ({
  containerId,
  hostId,
  size,
});
const MAP = [entry(0, 100_000, 1000), entry(5000, 7, 1), entry(1000, 200_000, 10)];

describe('maps', () => {
  test('host and nothing are none', () => {
    expect(parseUserns(undefined, 'u')).toBeUndefined();
    expect(parseUserns('host', 'u')).toBeUndefined();
    expect(parseUserns('auto', 'u')).toBe('auto');
  });

  test('who is whom, and how many from 0 on', () => {
    const { uids } = parseUserns({ uidMap: MAP, gidMap: MAP }, 'u') as IdMaps;
    expect([0, 999, 1000, 1009, 1010, 5000].map((id) => hostIdOf(uids, id))).toEqual([
      100_000,
      100_999,
      200_000,
      200_009,
      undefined,
      7,
    ]);
    expect(countOf(uids)).toBe(1010);
  });

  test.each<[object, string]>([
    [{ uidMap: MAP }, 'u.gidMap'],
    [{ uidMap: [], gidMap: MAP }, 'u.uidMap'],
    [{ uidMap: [entry(1, 1, 1)], gidMap: MAP }, 'u.uidMap'],
    [{ uidMap: [entry(0, 1, 0)], gidMap: MAP }, 'u.uidMap[0].size'],
    [{ uidMap: [entry(0, 2 ** 32 - 1, 1)], gidMap: MAP }, 'u.uidMap[0].hostId'],
    [{ uidMap: [entry(0, 2 ** 32 - 2, 2)], gidMap: MAP }, 'u.uidMap[0].size'],
    [{ uidMap: [entry(0, 1, 5), entry(4, 100, 1)], gidMap: MAP }, 'u.uidMap'],
    [{ uidMap: [entry(0, 1, 5), entry(5, 5, 1)], gidMap: MAP }, 'u.uidMap'],
    [{ uidMap: Array(341).fill(entry(0, 1, 1)), gidMap: MAP }, 'u.uidMap'],
    [{ uidMap: MAP, gidMap: MAP, more: 1 }, 'u.more'],
  ])('%j is refused', (value, option) => {
    expect(() => parseUserns(value, 'u')).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: expect.objectContaining({ option }),
      }),
    );
  });
});

test('ranges of whom /etc/subuid and /etc/subgid give them to, as many as there are of both', () => {
  const subuid = 'me:100000:65536\ncontainers:1000000:200000\ncontainers:5000000:65536\n';
  const ranges = freeRanges(subuid, 'containers:2000000:131072\ncontainers:9000000:70000\n');
  expect(ranges).toEqual([
    { uid: 1_000_000, gid: 2_000_000 },
    { uid: 1_065_536, gid: 2_065_536 },
    { uid: 1_131_072, gid: 9_000_000 },
  ]);
  expect(freeRanges(subuid, '')).toEqual([]);
  expect(freeRanges('containers:1:65535', 'containers:1:65536')).toEqual([]);
});
