import { checkArray, checkName, invalid, nearestName, notYet } from '../errors/arguments.js';

/** In the kernel's order: the position is the number (capabilities(7)). */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
] as const;

export type CapabilityName = `CAP_${(typeof NAMES)[number]}`;

const NUMBERS: ReadonlyMap<string, number> = new Map(NAMES.map((name, number) => [name, number]));

/**
 * Docker's default, but for MKNOD: until a device cgroup guards the nodes it could make, they would
 * be a way to the host's disks.
 */
export const DEFAULT_CAPABILITIES: readonly CapabilityName[] = Object.freeze([
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
]);

/** Docker's rule: drop, then add; `ALL` in either. */
export function chooseCapabilities(
  add: readonly string[],
  drop: readonly string[],
): readonly CapabilityName[] {
  if (add.length === 0 && drop.length === 0) return DEFAULT_CAPABILITIES;
  const every = NAMES.map((name): CapabilityName => `CAP_${name}`);
  const chosen = new Set<string>(add.includes('ALL') ? every : DEFAULT_CAPABILITIES);
  if (drop.includes('ALL')) chosen.clear();
  for (const name of drop) chosen.delete(`CAP_${name}`);
  for (const name of add) if (name !== 'ALL') chosen.add(`CAP_${name}`);
  if (chosen.has('CAP_MKNOD')) throw notYet('security.capAdd: MKNOD (and so ALL)', 'version 0.2');
  return every.filter((name) => chosen.has(name));
}

/** Names with or without `CAP_`, in any case, or `ALL`; returned bare. */
export function parseCapabilities(value: unknown, option: string): readonly string[] {
  return checkArray(value, option).map((item, index) => {
    const path = `${option}[${index}]`;
    const name = checkName(item, path).toUpperCase().replace(/^CAP_/, '');
    if (name !== 'ALL' && !NUMBERS.has(name)) {
      const nearest = nearestName(name, NUMBERS.keys());
      const guess = nearest === undefined ? '' : `; did you mean ${JSON.stringify(nearest)}?`;
      throw invalid(path, `no such capability${guess}`);
    }
    return name;
  });
}

/** As the bits of capset(2). */
export function capabilityMask(names: readonly string[]): bigint {
  let mask = 0n;
  for (const name of names) mask |= 1n << BigInt(NUMBERS.get(name.slice(4)) ?? 0);
  return mask;
}
