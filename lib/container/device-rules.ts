// Which devices a container may open and make. As root this is what stops a node that is made inside; an
// ordinary user's container is in a user namespace, where the kernel lets no node be used that is made there.
import type { OciDeviceRule } from './oci-spec.js';
import type { DeviceRule } from './plan-devices.js';

const rule = (
  allow: boolean,
  type: OciDeviceRule['type'],
  access: string,
  major?: number,
  minor?: number,
): OciDeviceRule =>
  Object.freeze({
    allow,
    type,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
    access,
  });

/**
 * Docker's: every node may be made, those that harm nobody may be used. The native part has the same table
 * (addon/launch/device_control.cc) and lays it on the groups that it prepares.
 */
export const DEFAULT_DEVICE_RULES: readonly OciDeviceRule[] = Object.freeze([
  rule(false, 'a', 'rwm'),
  rule(true, 'c', 'm'),
  rule(true, 'b', 'm'),
  rule(true, 'c', 'rwm', 1, 3),
  rule(true, 'c', 'rwm', 1, 5),
  rule(true, 'c', 'rwm', 1, 7),
  rule(true, 'c', 'rwm', 1, 8),
  rule(true, 'c', 'rwm', 1, 9),
  rule(true, 'c', 'rwm', 5, 0),
  rule(true, 'c', 'rwm', 5, 1),
  rule(true, 'c', 'rwm', 5, 2),
  rule(true, 'c', 'rwm', 136),
]);

const EVERYTHING: readonly OciDeviceRule[] = Object.freeze([rule(true, 'a', 'rwm')]);

/** In order: the last one that fits decides. `privileged`: every device of the machine. */
export function deviceRules(
  devices: readonly DeviceRule[],
  privileged: boolean,
): readonly OciDeviceRule[] {
  if (privileged) return EVERYTHING;
  if (devices.length === 0) return DEFAULT_DEVICE_RULES;
  return [
    ...DEFAULT_DEVICE_RULES,
    ...devices.map(({ type, major, minor, permissions }) =>
      rule(true, type, permissions, major, minor),
    ),
  ];
}
