import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { remedyOf } from '../host/remedies.js';
import { NAMESPACES } from './defaults.js';
import type { OciLinux } from './oci-spec.js';
import type { ContainerRequest } from './request.js';
import { SHARED, type Peers, type SharedNamespace, type Sharings } from './shared-namespaces.js';
import { containerOf } from './sharing-request.js';

/** What cannot be said of a namespace that is not the container's own. */
export function checkSharings(
  request: ContainerRequest,
  sharings: Sharings,
  peers: Peers,
  { cgroups }: { readonly cgroups: boolean },
): void {
  const { network, uts, pid } = sharings;
  checkPid(pid, peers, cgroups);
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

/**
 * No pid namespace ends those in the machine's, so that their group has to; and they are started by a supervisor that
 * is outside of the others' pid namespace, and knows nothing of theirs.
 */
function checkPid(pid: Sharings['pid'], peers: Peers, cgroups: boolean): void {
  const outside = pid === 'host';
  if (peers.pid?.outside === true) {
    throw invalid('security.pid', `is the machine's in '${peers.pid.name}': say 'host'`);
  }
  if (outside && !cgroups) {
    const what = "security.pid: 'host'";
    const reason = 'without a cgroup of its own nothing ends all that a container has started';
    const hint = remedyOf('cgroups', 'not-delegated');
    throw new CaissonError('ERR_UNSUPPORTED', { what, reason }, { hint });
  }
  for (const kind of SHARED) {
    if (peers[kind] === undefined || peers[kind].outside === outside) continue;
    const what = `to share the ${kind} namespace of '${peers[kind].name}'`;
    const reason = "of the two only one has security.pid: 'host'";
    throw new CaissonError('ERR_UNSUPPORTED', { what, reason });
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
