import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const PROCESSORS = '/sys/devices/system/cpu';

/**
 * Where each processor says how often it was too hot, which tells what others on the machine do: Docker masks it.
 * Empty where processors do not say, as in a virtual machine.
 */
export function thermalPaths(processors = PROCESSORS): readonly string[] {
  if (!existsSync(join(processors, 'cpu0', 'thermal_throttle'))) return [];
  return readdirSync(processors)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => join(processors, name, 'thermal_throttle'));
}
