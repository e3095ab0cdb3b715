import { checkArray, checkBag, checkInteger, invalid, kindOf } from '../errors/arguments.js';
import { MAX_ID } from '../host/subordinate-ids.js';
import type { IdMap } from './security-options.js';

/** The ids of a user namespace of the container's own. */
export interface IdMaps {
  readonly uids: readonly Readonly<IdMap>[];
  readonly gids: readonly Readonly<IdMap>[];
}

const KEYS: ReadonlySet<string> = new Set(['uidMap', 'gidMap']);
const ENTRY: ReadonlySet<string> = new Set(['containerId', 'hostId', 'size']);
/** user_namespaces(7) takes so many lines. */
const MOST_ENTRIES = 340;

/** Undefined: the machine's, or that of the supervisor. */
export function parseUserns(value: unknown, option: string): IdMaps | 'auto' | undefined {
  if (value === undefined || value === 'host') return undefined;
  if (value === 'auto') return 'auto';
  if (typeof value !== 'object' || value === null) {
    throw invalid(option, `must be 'host', 'auto' or maps, not ${kindOf(value)}`);
  }
  const bag = checkBag(value, option, KEYS);
  return {
    uids: parseMap(bag['uidMap'], `${option}.uidMap`),
    gids: parseMap(bag['gidMap'], `${option}.gidMap`),
  };
}

function parseMap(value: unknown, option: string): readonly IdMap[] {
  const list = checkArray(value, option);
  if (list.length > MOST_ENTRIES) throw invalid(option, `must be at most ${MOST_ENTRIES} entries`);
  const map = list.map((item, index) => {
    const at = `${option}[${index}]`;
    const bag = checkBag(item, at, ENTRY);
    const id = (key: 'containerId' | 'hostId'): number =>
      checkInteger(bag[key], `${at}.${key}`, 0, MAX_ID);
    const entry = { containerId: id('containerId'), hostId: id('hostId') };
    const most = MAX_ID + 1 - Math.max(entry.containerId, entry.hostId);
    return { ...entry, size: checkInteger(bag['size'], `${at}.size`, 1, most) };
  });
  for (const side of ['containerId', 'hostId'] as const) {
    const sorted = [...map].sort((a, b) => a[side] - b[side]);
    const twice = sorted.find((entry, i) => {
      const before = sorted[i - 1];
      return before !== undefined && entry[side] < before[side] + before.size;
    });
    if (twice !== undefined) throw invalid(option, `has ${side} ${twice[side]} twice`);
  }
  if (hostIdOf(map, 0) === undefined) throw invalid(option, 'must have containerId 0, its root');
  return map;
}

/** Who an id inside is outside; undefined when it is nobody. */
export function hostIdOf(map: readonly Readonly<IdMap>[], id: number): number | undefined {
  const entry = map.find(({ containerId, size }) => id >= containerId && id < containerId + size);
  return entry === undefined ? undefined : entry.hostId + id - entry.containerId;
}

/** How many ids there are, from 0 on. */
export function countOf(map: readonly Readonly<IdMap>[]): number {
  let count = 0;
  for (const { containerId, size } of [...map].sort((a, b) => a.containerId - b.containerId)) {
    if (containerId !== count) break;
    count += size;
  }
  return count;
}
