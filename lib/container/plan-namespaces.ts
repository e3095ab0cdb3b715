import { invalid, notYet } from '../errors/arguments.js';
import { NAMESPACES } from './defaults.js';
import type { OciLinux } from './oci-spec.js';
import type { ContainerRequest } from './request.js';
import { SHARED, type Peers, type SharedNamespace, type Sharings } from './shared-namespaces.js';
import { containerOf } from './sharing-request.js';

/** What cannot be said of a namespace that is not the container's own. */
export function checkSharings(request: ContainerRequest, { network, uts, pid }: Sharings): void {
  if (pid === 'host') throw notYet("security.pid: 'host'", 'a later version');
  if (uts !== 'private' && request.hostname !== undefined) {
    throw invalid('hostname', `is not the container's own with security.uts: '${uts}'`);
  }
  if (containerOf(network) === undefined) return;
  for (const option of ['dns', 'extraHosts'] as const) {
    const asked = request[option];
    if (asked !== undefined && Object.keys(asked).length > 0) {
      throw invalid(option, `is that of the other container with networks: '${network}'`);
    }
  }
}

/** Whose name it has, as Docker has it: that of the UTS namespace, else of the network. Undefined: its own. */
export function planHostname(
  { hostname }: ContainerRequest,
  { network, uts }: Sharings,
  peers: Peers,
  machine: string,
): string | undefined {
  if (uts !== 'private') return peers.uts?.hostname ?? machine;
  if (hostname !== undefined) return hostname;
  return network === 'host' ? machine : peers.network?.hostname;
}

/** Also by way of another container. */
export function isHosts(kind: SharedNamespace, sharings: Sharings, peers: Peers): boolean {
  return sharings[kind] === 'host' || peers[kind]?.ofHost === true;
}

/** As OCI says it: what is not there is the machine's. */
export function planNamespaces(sharings: Sharings, peers: Peers): OciLinux['namespaces'] {
  if (SHARED.every((kind) => sharings[kind] === 'private')) return NAMESPACES;
  return NAMESPACES.flatMap((namespace) => {
    const kind = namespace.type as SharedNamespace;
    if (!SHARED.includes(kind) || sharings[kind] === 'private') return [namespace];
    const peer = peers[kind];
    return peer === undefined || peer.ofHost ? [] : [{ type: kind, path: `container:${peer.id}` }];
  });
}
