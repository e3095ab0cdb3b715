import type { RuntimeParts } from '../runtime/parts.js';
import { planHost } from './machine.js';
import { ociSeccomp } from './oci-seccomp.js';
import type { OciSpec } from './oci-spec.js';
import type { Plan } from './plan.js';

const known = new WeakMap<Plan, OciSpec>();

/** The whole of what OCI can say of a plan: for those who read it, not for a start. */
export function specOfPlan(plan: Plan, parts: RuntimeParts): OciSpec {
  let spec = known.get(plan);
  if (spec === undefined) {
    const { oci } = plan;
    const seccomp = ociSeccomp(plan.seccomp, oci.process.capabilities.bounding, planHost(parts));
    spec = seccomp === undefined ? oci : { ...oci, linux: { ...oci.linux, seccomp } };
    known.set(plan, spec);
  }
  return spec;
}
