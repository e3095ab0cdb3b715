import { checkBag, checkInteger, invalid } from '../errors/arguments.js';
import type { TimeOffset } from './security-options.js';

export type TimeOffsets = Readonly<Partial<Record<'monotonic' | 'boottime', Required<TimeOffset>>>>;

const CLOCKS: ReadonlySet<string> = new Set(['monotonic', 'boottime']);
const PARTS: ReadonlySet<string> = new Set(['secs', 'nanosecs']);
const MAX_NANOSECONDS = 999_999_999;

/** Undefined: none that would say anything. */
export function parseTimeOffsets(value: unknown): TimeOffsets | undefined {
  const option = 'security.timeOffsets';
  const offsets: Record<string, Required<TimeOffset>> = {};
  const bag = checkBag(value, option, CLOCKS);
  for (const [clock, asked] of Object.entries(bag)) {
    if (asked !== undefined) offsets[clock] = parseOffset(asked, `${option}.${clock}`);
  }
  return Object.keys(offsets).length === 0 ? undefined : offsets;
}

function parseOffset(value: unknown, option: string): Required<TimeOffset> {
  const { secs, nanosecs } = checkBag(value, option, PARTS);
  if (secs === undefined && nanosecs === undefined) throw invalid(option, 'must say secs');
  return checkOffset(secs, nanosecs, option);
}

/** What time_namespaces(7) takes: whole seconds either way, nanoseconds upwards. */
export function checkOffset(
  secs: unknown,
  nanosecs: unknown,
  option: string,
): Required<TimeOffset> {
  return {
    secs: checkInteger(secs ?? 0, `${option}.secs`, Number.MIN_SAFE_INTEGER),
    nanosecs: checkInteger(nanosecs ?? 0, `${option}.nanosecs`, 0, MAX_NANOSECONDS),
  };
}
