// The life of a container, as data:
//
//   created ──start──► starting ──started──► running ──stop──► stopping ──exit──► exited
//                         │                    │  │                                  │
//                         ├──failed──► (as it was before)  └──────────exit───────────┤
//                         └──exit─────────────────────────────────────────────► exited
//   exited ──start──► starting        created, exited ──remove──► removed
//
//   running ──pause──► paused ──resume──► running      paused ──stop, exit──► as from running
//
// `restart` is stop and start; meanwhile it is `restarting`.
import { CaissonError, type ErrorCode } from '../errors/index.js';
import type { ExitInfo } from './exit-info.js';
import type { Run } from './run-record.js';

export type ContainerState =
  | { readonly status: 'created' }
  | { readonly status: 'starting' }
  | { readonly status: 'running'; readonly run: Run }
  | { readonly status: 'paused'; readonly run: Run }
  | { readonly status: 'stopping'; readonly run: Run }
  | { readonly status: 'restarting'; readonly run: Run }
  | { readonly status: 'exited'; readonly exit: ExitInfo }
  | { readonly status: 'removed'; readonly exit: ExitInfo | undefined };

export type Status = ContainerState['status'];

/** What may be asked of a container, and in which states. */
export type Verb =
  | 'start'
  | 'stop'
  | 'restart'
  | 'kill'
  | 'exec in'
  | 'spawn in'
  | 'attach to'
  | 'remove'
  | 'pause'
  | 'resume';

const ALLOWED: Readonly<Record<Verb, readonly Status[]>> = {
  start: ['created', 'exited'],
  // Stopping what has ended tells how it ended; what is starting is stopped once it has started.
  stop: ['starting', 'running', 'paused', 'stopping', 'restarting', 'exited'],
  restart: ['running', 'paused', 'exited'],
  kill: ['running', 'paused', 'stopping', 'restarting'],
  'exec in': ['running', 'stopping'],
  'spawn in': ['running', 'stopping'],
  'attach to': ['running', 'paused', 'stopping'],
  remove: ['created', 'exited', 'removed'],
  pause: ['running'],
  resume: ['paused'],
};

const EVER_STARTED: readonly Verb[] = [
  'stop',
  'restart',
  'kill',
  'exec in',
  'spawn in',
  'attach to',
  'pause',
  'resume',
];

/** @throws {@link CaissonError} why `verb` cannot be done to a container in this state. */
export function assertCan(verb: Verb, state: Status, container: string): void {
  if (ALLOWED[verb].includes(state)) return;
  const action = verb;
  const code = refusal(verb, state);
  const hint = state === 'paused' ? { hint: 'It is paused: resume() lets it go on.' } : {};
  throw new CaissonError(code, { container, action, state }, hint);
}

function refusal(
  verb: Verb,
  state: Status,
): ErrorCode &
  (
    | 'ERR_CONTAINER_REMOVED'
    | 'ERR_CONTAINER_NOT_STARTED'
    | 'ERR_CONTAINER_RUNNING'
    | 'ERR_CONTAINER_NOT_RUNNING'
    | 'ERR_CONTAINER_NOT_PAUSED'
  ) {
  if (state === 'removed') return 'ERR_CONTAINER_REMOVED';
  if (verb === 'start' || verb === 'remove') return 'ERR_CONTAINER_RUNNING';
  if (state === 'created' && EVER_STARTED.includes(verb)) return 'ERR_CONTAINER_NOT_STARTED';
  return verb === 'resume' ? 'ERR_CONTAINER_NOT_PAUSED' : 'ERR_CONTAINER_NOT_RUNNING';
}

/** Which state may follow which. */
const FOLLOWS: Readonly<Record<Status, readonly Status[]>> = {
  created: ['starting', 'removed'],
  // Back to what it was, when the start failed.
  starting: ['running', 'created', 'exited'],
  running: ['paused', 'stopping', 'restarting', 'exited'],
  paused: ['running', 'stopping', 'restarting', 'exited'],
  stopping: ['running', 'exited'],
  restarting: ['running', 'exited'],
  exited: ['starting', 'removed'],
  removed: [],
};

/** A change that is not in the picture is a mistake of ours. */
export function assertFollows(from: Status, to: Status): void {
  if (!FOLLOWS[from].includes(to)) throw new Error(`a container cannot go from ${from} to ${to}`);
}
