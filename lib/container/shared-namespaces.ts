import type { PlanFile } from './plan-files.js';
import type { ContainerRequest } from './request.js';
import type { Sharing } from './sharing-request.js';

/** The namespaces that can be another container's, in the order of addon/plan/shared_namespaces.h. */
export const SHARED = ['network', 'ipc', 'uts', 'pid'] as const;
export type SharedNamespace = (typeof SHARED)[number];

export type Sharings = Readonly<Record<SharedNamespace, Sharing>>;

/** What a plan must know of a container whose namespace is shared. */
export interface Peer {
  readonly id: string;
  readonly name: string;
  readonly hostname: string;
  readonly files: readonly PlanFile[];
  /** What is shared is the machine's, for that one has it, too. */
  readonly ofHost: boolean;
  /** Its processes are the machine's own. */
  readonly outside: boolean;
}
export type Peers = Readonly<Partial<Record<SharedNamespace, Peer>>>;

export const NO_PEERS: Peers = Object.freeze({});

export function sharingsOf({ network, security }: ContainerRequest): Sharings {
  const { ipc, uts, pid } = security;
  return { network: network === 'none' ? 'private' : network, ipc, uts, pid };
}

/** Whether another container has to be looked for. */
export function sharesWithContainers({ network, security }: ContainerRequest): boolean {
  const { ipc, uts, pid } = security;
  return [network, ipc, uts, pid].some((asked) => asked.startsWith('container:'));
}
