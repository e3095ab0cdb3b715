import { Reason, Tag } from '../native/protocol.js';
import type { FieldReader } from '../native/wire.js';

/** An Exited message, as numbers. */
export interface RawExit {
  readonly exitCode: number | null;
  readonly signal: number | null;
  readonly reason: Reason;
  readonly startedMs: number;
  readonly finishedMs: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly maxRssBytes: number;
  readonly oomKills: number;
}

export function readExit(fields: FieldReader): RawExit {
  return {
    exitCode: fields.number(Tag.exitCode) ?? null,
    signal: fields.number(Tag.exitSignal) ?? null,
    reason: knownReason(fields.number(Tag.reason)),
    startedMs: milliseconds(fields.u64(Tag.startedNs)),
    finishedMs: milliseconds(fields.u64(Tag.finishedNs)),
    userUs: fields.number(Tag.userUs) ?? 0,
    systemUs: fields.number(Tag.systemUs) ?? 0,
    maxRssBytes: fields.number(Tag.maxRssBytes) ?? 0,
    oomKills: fields.number(Tag.oomKills) ?? 0,
  };
}

/** An end that nobody saw: nothing about it is invented. */
export function lostExit(): RawExit {
  return {
    exitCode: null,
    signal: null,
    reason: Reason.lost,
    startedMs: 0,
    finishedMs: Date.now(),
    userUs: 0,
    systemUs: 0,
    maxRssBytes: 0,
    oomKills: 0,
  };
}

/** One that a newer supervisor knows is an end we cannot name. */
function knownReason(number: number | undefined): Reason {
  return Object.values(Reason).find((reason) => reason === number) ?? Reason.lost;
}

const milliseconds = (ns: bigint | undefined): number =>
  ns === undefined ? 0 : Number(ns / 1000n) / 1000;
