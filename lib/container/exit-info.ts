import { Reason } from '../native/protocol.js';
import { signalName } from '../native/signals.js';
import type { RawExit } from '../runtime/raw-exit.js';

/** What a process used, and those of its children that it waited for. */
export interface Usage {
  /** Processor time in the program, in microseconds. */
  readonly userUs: number;
  /** Processor time in the kernel, in microseconds. */
  readonly systemUs: number;
  /** The most memory that one of them had at once. */
  readonly maxRssBytes: number;
}

/** How a process ended. Nothing in it is invented: an end that nobody saw is `'lost'`. */
export interface ExitInfo {
  /** Null when a signal ended it, or nobody saw the end. */
  exitCode: number | null;
  /** What ended it; null when it exited by itself, or nobody saw the end. */
  signal: NodeJS.Signals | null;
  /** When its program began to run. */
  startedAt: Date;
  finishedAt: Date;
  /**
   * `'exited'`: by itself, with `exitCode`. `'signaled'`: by a signal that it or somebody sent, or because its
   * container ended by itself. `'killed'`: by SIGKILL of `kill`, `stop`, `remove` or `close` of this library, also
   * with its container, or by a timeout of that. `'timeout'`: by its own `timeoutMs`. `'aborted'`: by `signal`.
   * `'oom'`: for want of memory. `'lost'`: nobody saw its end, the supervisor was lost.
   */
  reason: 'exited' | 'signaled' | 'oom' | 'timeout' | 'aborted' | 'killed' | 'lost';
  /** Somebody in its cgroup was killed for want of memory, if not this process. */
  oomKilled: boolean;
  /** Absent when its end is `'lost'`. */
  usage?: Usage;
}

const REASONS: Readonly<Record<Reason, ExitInfo['reason']>> = {
  [Reason.exited]: 'exited',
  [Reason.signaled]: 'signaled',
  [Reason.timeout]: 'timeout',
  [Reason.killed]: 'killed',
  [Reason.oom]: 'oom',
  [Reason.lost]: 'lost',
};

/** `startedMs`: when we saw it start, for an end that nobody saw. */
export function exitInfo(raw: RawExit, startedMs = raw.finishedMs): ExitInfo {
  const { userUs, systemUs, maxRssBytes } = raw;
  const lost = raw.reason === Reason.lost;
  return {
    exitCode: raw.exitCode,
    signal: raw.signal === null ? null : signalName(raw.signal),
    startedAt: new Date(raw.startedMs === 0 ? startedMs : raw.startedMs),
    finishedAt: new Date(raw.finishedMs),
    reason: REASONS[raw.reason],
    oomKilled: raw.oomKills > 0,
    ...(lost ? {} : { usage: { userUs, systemUs, maxRssBytes } }),
  };
}

/** A killed process of an aborted call; one that had ended by itself before keeps its own reason. */
export function asAborted<E extends ExitInfo>(exit: E): E {
  return exit.reason === 'killed' ? { ...exit, reason: 'aborted' } : exit;
}
