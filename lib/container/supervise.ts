import { EventEmitter } from 'eventemitter3';
import { throwIfAborted } from '../errors/index.js';
import type { FailureContext } from '../native/failure.js';
import type { Keeping, RuntimeParts } from '../runtime/parts.js';
import type { Supervisor } from '../runtime/supervisor.js';
import type { ContainerConfig } from '../store/index.js';
import type { TakenIds } from './auto-ids.js';
import type { ExecAsked } from './encode.js';
import type { ExitInfo } from './exit-info.js';
import { pathOfItem } from './failure-paths.js';
import type { Plan } from './plan.js';
import type { Process } from './process.js';
import type { Run } from './run-record.js';
import { assertFollows, type ContainerState } from './state.js';
import type { Stopping } from './stop.js';
import { toStored } from './stored-state.js';
import type { StageTimings } from './timings.js';

export type ContainerEventName =
  'start' | 'exit' | 'oom' | 'health' | 'pause' | 'resume' | 'restart' | 'remove';

export interface ContainerEvent {
  readonly type: ContainerEventName;
  readonly id: string;
  readonly name: string;
  readonly time: Date;
  /** With `exit` and `remove`: how it ended, if it ever ran. */
  readonly exit?: ExitInfo;
}

type EventMap = Record<ContainerEventName, (event: ContainerEvent) => void>;

/** A container of this Runtime: what all its handles share. */
export class Supervised {
  readonly parts: RuntimeParts;
  /** The one that it is started by, and that undoes what it leaves. */
  readonly supervisor: Supervisor;
  readonly config: ContainerConfig;
  readonly plan: Plan;
  readonly autoRemove: boolean;
  /** The ids of `userns: 'auto'`, for as long as there is anything of it. */
  readonly ids: TakenIds | undefined;
  readonly emitter = new EventEmitter<EventMap>();
  /** Live processes that `spawn` started. */
  readonly processes = new Map<string, Process>();
  timings: StageTimings;
  /** One removal, whose outcome all calls share. */
  removing: Promise<void> | undefined;
  /** One stop, likewise. */
  stopping: Stopping | undefined;
  /** What is being done by `pause` and `resume`, one after the other; never rejects. */
  pausing: Promise<void> = Promise.resolve();
  /** Set while it must not be started, as somebody reads its files; never rejects. */
  still: Promise<void> | undefined;
  /** One start, likewise; never rejects. */
  starting: Promise<void> | undefined;
  #state: ContainerState = { status: 'created' };
  #lastRun: Run | undefined;
  #saving: Promise<void> = Promise.resolve();
  readonly #waiting = new Set<() => void>();

  constructor(
    parts: RuntimeParts,
    { supervisor }: Keeping,
    config: ContainerConfig,
    plan: Plan,
    autoRemove: boolean,
    timings: StageTimings,
    ids: TakenIds | undefined,
  ) {
    this.ids = ids;
    this.parts = parts;
    this.supervisor = supervisor;
    this.config = config;
    this.plan = plan;
    this.autoRemove = autoRemove;
    this.timings = timings;
  }

  get id(): string {
    return this.config.id;
  }

  get name(): string {
    return this.config.name;
  }

  get state(): ContainerState {
    return this.#state;
  }

  /** The one that is going on, or the last one. */
  get lastRun(): Run | undefined {
    return this.#lastRun;
  }

  /** Changes the state, writes it down behind, then tells: a listener that throws breaks nothing. */
  enter(state: ContainerState, event?: ContainerEventName): void {
    assertFollows(this.#state.status, state.status);
    this.#state = state;
    if ('run' in state) this.#lastRun = state.run;
    this.#save();
    for (const wake of [...this.#waiting]) wake();
    if (event !== undefined) this.#tell(event, state);
  }

  /** An event that changes no state. */
  announce(event: ContainerEventName): void {
    this.#tell(event, this.#state);
  }

  /** Resolves with what `look` finds, now or after a change of state. */
  async until<T>(look: (state: ContainerState) => T | undefined, signal?: AbortSignal): Promise<T> {
    for (;;) {
      throwIfAborted(signal);
      const found = look(this.#state);
      if (found !== undefined) return found;
      await this.#nextChange(signal);
    }
  }

  async #nextChange(signal: AbortSignal | undefined): Promise<void> {
    let wake!: () => void;
    const changed = new Promise<void>((resolve) => (wake = resolve));
    this.#waiting.add(wake);
    signal?.addEventListener('abort', wake);
    try {
      await this.supervisor.keepAlive(changed);
    } finally {
      this.#waiting.delete(wake);
      signal?.removeEventListener('abort', wake);
    }
  }

  /** What errors about a launch in this container say: about what was asked, which may not be its own. */
  failureContext(
    action: string,
    asked: Omit<ExecAsked, 'timeoutMs' | 'capabilities' | 'terminal'>,
  ): FailureContext {
    return {
      action,
      container: this.name,
      argv0: asked.argv[0] ?? '',
      searched: searchPath(asked.env),
      user: asked.user,
      pathOf: (step, index) => pathOfItem(this.plan, step, index, asked.cwd),
    };
  }

  /** Resolves when everything that was to be written is. */
  saved(): Promise<void> {
    return this.#saving;
  }

  /** In order, and behind: a start does not wait for its record. */
  #save(): void {
    if (this.#state.status === 'removed') return;
    const stored = toStored(this.#state);
    this.#saving = this.#saving.then(async () => {
      if (this.removing !== undefined || this.supervisor.isLost) return;
      // The record is for other programs; this one has the state. A folder that is just being
      // removed, or a full disk, must not make an end look like a failure.
      await this.parts.store.containers.writeState(this.id, stored).catch(() => undefined);
    });
    this.parts.background(this.#saving);
  }

  #tell(type: ContainerEventName, state: ContainerState): void {
    const time = new Date();
    const { id, name } = this;
    const exit = 'exit' in state ? state.exit : undefined;
    if (type !== 'health' && type !== 'restart') {
      this.parts.emit({ type: `container.${type}`, id, name, time });
    }
    try {
      this.emitter.emit(type, { type, id, name, time, ...(exit === undefined ? {} : { exit }) });
    } catch (error) {
      throwApart(error);
    }
  }
}

/** A listener that throws is its program's affair, and not that of the call that told it. */
function throwApart(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

export function searchPath(env: readonly string[]): string {
  return env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
}
