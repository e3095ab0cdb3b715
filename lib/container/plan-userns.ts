import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { OciIdMapping, OciLinux } from './oci-spec.js';
import type { PlanHost } from './plan.js';
import type { SecurityRequest } from './security-request.js';
import type { Sharings } from './shared-namespaces.js';
import type { IdMap } from './security-options.js';
import { countOf, hostIdOf, type IdMaps } from './userns-request.js';

/** What the kernel, or root outside, keeps from a user namespace. */
export function checkUserns(security: SecurityRequest, sharings: Sharings, host: PlanHost): void {
  if (security.userns === undefined) return;
  if (host.rootless) throw rootlessRefusal();
  for (const [kind, asked] of Object.entries(sharings)) {
    if (asked === 'private') continue;
    const option = kind === 'network' ? 'networks' : `security.${kind}`;
    throw invalid(option, 'must be its own with security.userns, whose root it then belongs to');
  }
  if (security.timeOffsets !== undefined) {
    const reason = 'the clocks of a user namespace of its own cannot be set from inside';
    throw new CaissonError('ERR_UNSUPPORTED', { what: 'security.timeOffsets', reason });
  }
}

/** How many groups a container has, from 0 on. */
export function groupsOf(host: Pick<PlanHost, 'gids'>, userns: IdMaps | undefined): number {
  return userns === undefined ? host.gids : countOf(userns.gids);
}

export function rootlessRefusal(): CaissonError {
  const reason = 'containers of an ordinary user are in a user namespace of that user already';
  const hint = 'Leave it out, or run the program as root.';
  return new CaissonError('ERR_UNSUPPORTED', { what: 'security.userns', reason }, { hint });
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export function ownerOf(userns: IdMaps | undefined): Owner | undefined {
  if (userns === undefined) return undefined;
  // The request has refused maps without it.
  return { uid: hostIdOf(userns.uids, 0) ?? 0, gid: hostIdOf(userns.gids, 0) ?? 0 };
}

export function planUserns<T extends Pick<OciLinux, 'namespaces'>>(
  userns: IdMaps | undefined,
  others: T,
): T & Pick<OciLinux, 'uidMappings' | 'gidMappings'> {
  if (userns === undefined) return others;
  return {
    ...others,
    namespaces: [{ type: 'user' }, ...others.namespaces],
    uidMappings: userns.uids.map(toOci),
    gidMappings: userns.gids.map(toOci),
  };
}

const toOci = ({ containerId, hostId, size }: IdMap): OciIdMapping => ({
  containerID: containerId,
  hostID: hostId,
  size,
});
