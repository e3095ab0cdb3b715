import { notYet } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { findIn } from './find.js';
import { isOutside } from './keeping.js';
import type { Plan } from './plan.js';
import { supervisedOf } from './registry.js';
import type { ContainerRequest } from './request.js';
import {
  SHARED,
  sharingsOf,
  type Peer,
  type Peers,
  type SharedNamespace,
} from './shared-namespaces.js';
import { containerOf } from './sharing-request.js';
import type { Supervised } from './supervise.js';

/** The containers that are asked for, by kind: they are of this Runtime, whether they run or not. */
export async function findPeers(parts: RuntimeParts, request: ContainerRequest): Promise<Peers> {
  const sharings = sharingsOf(request);
  const peers: Partial<Record<SharedNamespace, Peer>> = {};
  for (const kind of SHARED) {
    const wanted = containerOf(sharings[kind]);
    if (wanted === undefined) continue;
    const found = await findIn(parts, wanted);
    if (found.kind === 'foreign') {
      throw notYet(`to share the ${kind} namespace of a container that another Runtime runs`);
    }
    const { id, name, plan } = found.core;
    const { hostname, files, oci } = plan;
    const ofHost = oci.linux.namespaces.every(({ type }) => type !== kind);
    peers[kind] = { id, name, hostname, files, ofHost, outside: isOutside(plan) };
  }
  return peers;
}

/** By which Launch the supervisor knows them; throws when one does not run. */
export function targetsOf(
  parts: RuntimeParts,
  { peers }: Plan,
): Partial<Record<SharedNamespace, number>> {
  const targets: Partial<Record<SharedNamespace, number>> = {};
  for (const kind of SHARED) {
    const peer = peers[kind];
    if (peer !== undefined) targets[kind] = targetOf(supervisedOf(parts).get(peer.id), peer, kind);
  }
  return targets;
}

function targetOf(core: Supervised | undefined, { name }: Peer, kind: SharedNamespace): number {
  const action = `share the ${kind} namespace of`;
  if (core === undefined) {
    throw new CaissonError('ERR_CONTAINER_REMOVED', { container: name, action });
  }
  const { state } = core;
  if (!('run' in state)) {
    const details = { container: name, action, state: state.status };
    throw new CaissonError('ERR_CONTAINER_NOT_RUNNING', details);
  }
  return state.run.target;
}
