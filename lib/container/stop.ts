import { readFile } from 'node:fs/promises';
import { CaissonError, abortError, throwIfAborted } from '../errors/index.js';
import { checkBag, checkInteger, checkSignal } from '../errors/arguments.js';
import { parseSignal, SIGKILL, stopSignalNumber } from '../native/signals.js';
import { Type } from '../native/protocol.js';
import type { ExitInfo } from './exit-info.js';
import { isOutside } from './keeping.js';
import { setFrozen } from './pause.js';
import type { Run } from './run-record.js';
import { assertCan } from './state.js';
import type { Supervised } from './supervise.js';

const DEFAULT_GRACE_MS = 10_000;
/** What setTimeout takes. */
const MOST_GRACE_MS = 2 ** 31 - 1;
const KEYS: ReadonlySet<string> = new Set(['stopSignal', 'graceMs', 'signal']);

export interface StopRequest {
  /** Absent: the image's. */
  readonly stopSignal: number | undefined;
  readonly graceMs: number;
  readonly signal: AbortSignal | undefined;
}

export function parseStop(value: unknown): StopRequest {
  const options = value === undefined ? {} : checkBag(value, 'options', KEYS);
  const { stopSignal, graceMs } = options;
  return {
    stopSignal: stopSignal === undefined ? undefined : parseSignal(stopSignal, 'stopSignal'),
    graceMs: checkInteger(graceMs ?? DEFAULT_GRACE_MS, 'graceMs', 0, MOST_GRACE_MS),
    signal: checkSignal(options['signal'], 'signal'),
  };
}

/** A stop that goes on: all who ask for one share it. */
export interface Stopping {
  readonly outcome: Promise<ExitInfo>;
  readonly grace: Grace;
}

/**
 * Asks pid 1 to end, then kills the whole container if it has not ended in time. Calls made while
 * one is in progress share its outcome, and can only shorten its grace. An abort gives up waiting; the
 * stop itself goes on.
 */
export async function stopContainer(
  core: Supervised,
  request: StopRequest,
  becomes: 'stopping' | 'restarting' = 'stopping',
): Promise<ExitInfo> {
  const { signal } = request;
  throwIfAborted(signal);
  assertCan('stop', core.state.status, core.name);
  await core.starting;
  const { state } = core;
  if (state.status === 'exited') return state.exit;
  assertCan('stop', state.status, core.name);
  if (core.stopping !== undefined) {
    core.stopping.grace.shorten(graceOf(core, request));
  } else if (state.status === 'running' || state.status === 'paused') {
    const { run } = state;
    core.stopping = stop(core, run, request, state.status === 'paused');
    core.stopping.outcome.catch(() => undefined); // it is told to those who wait for it
    const { status } = core.state;
    if (status === 'running' || status === 'paused') core.enter({ status: becomes, run });
  }
  const ended = core.stopping?.outcome ?? core.lastRun?.exited;
  if (ended === undefined) {
    throw new CaissonError('ERR_CONTAINER_NOT_STARTED', { container: core.name, action: 'stop' });
  }
  return await orAborted(core.supervisor.keepAlive(ended), signal);
}

const signalOf = (core: Supervised, { stopSignal }: StopRequest): number =>
  stopSignal ?? stopSignalNumber(core.plan.stopSignal);

const graceOf = (core: Supervised, request: StopRequest): number =>
  signalOf(core, request) === SIGKILL ? 0 : request.graceMs;

function stop(core: Supervised, run: Run, request: StopRequest, paused: boolean): Stopping {
  const graceMs = graceOf(core, request);
  const grace = new Grace(graceMs);
  const work = async (): Promise<ExitInfo> => {
    try {
      if (graceMs > 0) {
        // What cannot be asked to end is ended.
        const asked = askToEnd(core, run, signalOf(core, request), paused).then(
          () => grace.over,
          () => undefined,
        );
        const exit = await Promise.race([run.exited, asked]);
        if (exit !== undefined) return exit;
      }
      await killTree(core, run);
      return await run.exited;
    } finally {
      grace.clear();
    }
  };
  return { outcome: work(), grace };
}

/** What stands still hears nothing: it goes on once the signal waits for it. */
async function askToEnd(
  core: Supervised,
  run: Run,
  signal: number,
  paused: boolean,
): Promise<void> {
  await sendSignal(core, run, signal, 'stop');
  if (paused) await setFrozen(core, Type.thaw, 'stop');
}

/** Some time, which can be made less. */
class Grace {
  readonly over: Promise<void>;
  #end!: () => void;
  #timer: NodeJS.Timeout | undefined;
  #deadline = Infinity;

  constructor(milliseconds: number) {
    this.over = new Promise((resolve) => (this.#end = resolve));
    this.shorten(milliseconds);
  }

  /** To so much from now on, if that is less than what is left. */
  shorten(milliseconds: number): void {
    const deadline = performance.now() + milliseconds;
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#end, milliseconds);
  }

  /** Nobody waits for it any more. */
  clear(): void {
    this.#deadline = -Infinity;
    clearTimeout(this.#timer);
  }
}

/** Sends a signal to pid 1, or with SIGKILL ends the whole container. */
export async function killContainer(core: Supervised, value: unknown): Promise<void> {
  const number = parseSignal(value ?? 'SIGKILL', 'signal');
  assertCan('kill', core.state.status, core.name);
  const run = core.lastRun;
  if (run === undefined) return;
  if (number === SIGKILL) await killTree(core, run);
  else await sendSignal(core, run, number, 'kill');
}

/** Ends it at once if it runs, and resolves when it has ended. */
export async function killAndWait(core: Supervised): Promise<void> {
  const { state } = core;
  if (!('run' in state)) return;
  await killTree(core, state.run);
  await state.run.exited;
}

/**
 * For the end of an owned handle: as `stop`, but it does not wait for a pid 1 that cannot react. The
 * kernel drops a signal to pid 1 that has no handler for it, so the grace would pass for nothing.
 */
export async function stopGently(core: Supervised): Promise<void> {
  await core.starting;
  const { state } = core;
  if (!('run' in state)) return;
  const stopSignal = stopSignalNumber(core.plan.stopSignal);
  // An init takes every signal, and hands it on to one who is no process 1, as those of the machine's are none.
  const hears =
    core.plan.init || isOutside(core.plan) || (await handles(state.run.pid, stopSignal));
  const own = hears ? DEFAULT_GRACE_MS : 0;
  // A stop that goes on, perhaps with another signal, has the time it was given.
  const graceMs = core.stopping === undefined ? own : MOST_GRACE_MS;
  await stopContainer(core, { stopSignal, graceMs, signal: undefined });
}

/** Whether a process catches a signal, or holds it back to read it from a signalfd. */
async function handles(pid: number, signal: number): Promise<boolean> {
  if (pid <= 0) return false;
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const bit = 1n << BigInt(signal - 1);
  return ['SigCgt', 'SigBlk'].some((name) => {
    const mask = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & bit) !== 0n;
  });
}

/** What has ended meanwhile needs no signal. */
async function sendSignal(
  core: Supervised,
  run: Run,
  signal: number,
  action: string,
): Promise<void> {
  const { supervisor } = core;
  await supervisor
    .sendSignal(run.target, signal, { action, container: core.name })
    .catch(ignoreEnded);
}

async function killTree(core: Supervised, run: Run): Promise<void> {
  const { supervisor } = core;
  await supervisor.kill(run.target, { action: 'kill', container: core.name }).catch(ignoreEnded);
}

function ignoreEnded(error: unknown): void {
  if (CaissonError.is(error, 'ERR_CONTAINER_NOT_RUNNING')) return;
  if (CaissonError.is(error, 'ERR_SUPERVISOR_LOST')) return;
  throw error;
}

/** The promise's outcome, or an AbortError as soon as `signal` is aborted. */
export async function orAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await promise;
  throwIfAborted(signal);
  let onAbort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = (): void => {
      reject(abortError(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
