import type { Keeping, RuntimeParts } from '../runtime/parts.js';
import type { Plan } from './plan.js';

/** Whether its processes are the machine's own: then no pid namespace of the supervisor's can be around them. */
export const isOutside = ({ oci }: Pick<Plan, 'oci'>): boolean =>
  oci.linux.namespaces.every(({ type }) => type !== 'pid');

/** By whom a container is started. */
export function keepingOf(parts: RuntimeParts, plan: Plan): Keeping | Promise<Keeping> {
  return isOutside(plan) ? parts.outside() : parts;
}
