import type { ExitInfo } from './exit-info.js';
import type { ContainerState, Status } from './state.js';

/** `state.json`: what another program may read about a container. */
export interface StoredState {
  readonly version: 1;
  readonly status: Status;
  readonly pid?: number;
  readonly startedAt?: string;
  readonly exit?: Readonly<Record<keyof ExitInfo, unknown>> | ExitInfo;
}

export function toStored(state: ContainerState): StoredState {
  const base = { version: 1, status: state.status } as const;
  if ('run' in state) {
    const { pid, startedAt } = state.run;
    return { ...base, pid, startedAt: startedAt.toISOString() };
  }
  return 'exit' in state && state.exit !== undefined ? { ...base, exit: state.exit } : base;
}

/** What a record says, as far as it can be understood. */
export function fromStored(value: unknown): StoredState {
  const stored = value as Partial<StoredState> | null | undefined;
  if (typeof stored !== 'object' || stored?.status === undefined) {
    return { version: 1, status: 'created' };
  }
  return stored as StoredState;
}

/** The exit of a record, with its dates as dates again. */
export function storedExit(stored: StoredState): ExitInfo | undefined {
  if (stored.exit === undefined) return undefined;
  const exit = stored.exit as ExitInfo;
  return {
    ...exit,
    startedAt: new Date(exit.startedAt),
    finishedAt: new Date(exit.finishedAt),
  };
}
