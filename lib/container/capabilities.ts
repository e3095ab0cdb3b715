import { checkArray, checkName, invalid, nearestName } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { Control } from '../native/protocol.js';

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

export const EVERY_CAPABILITY: readonly CapabilityName[] = Object.freeze(
  NAMES.map((name): CapabilityName => `CAP_${name}`),
);

/** Docker's. */
export const DEFAULT_CAPABILITIES: readonly CapabilityName[] = Object.freeze([
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
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

export interface CapabilitiesAsked {
  readonly capabilities: readonly CapabilityName[];
  /** Bare names, or `ALL`. */
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly privileged: boolean;
}

export interface CapabilityHost {
  readonly rootless: boolean;
  /** What its cgroups can do: bits of `Control`. */
  readonly controls: number;
  /** Those that this program can pass on. */
  readonly capabilities: ReadonlySet<CapabilityName>;
}

type PerPreset = Map<readonly CapabilityName[], readonly CapabilityName[]>;
const granted = new WeakMap<CapabilityHost, PerPreset>();

/**
 * Docker's rule: of the preset's those in `capDrop` go, those in `capAdd` come. `ALL` is what the machine
 * gives; every other one that it does not give is refused. MKNOD is given by default where something guards the nodes
 * that it makes.
 */
export function grantCapabilities(
  asked: CapabilitiesAsked,
  host: CapabilityHost,
): readonly CapabilityName[] {
  if (asked.capAdd.length > 0 || asked.capDrop.length > 0) return choose(asked, host);
  const perPreset: PerPreset =
    granted.get(host) ?? new Map<readonly CapabilityName[], readonly CapabilityName[]>();
  granted.set(host, perPreset);
  let chosen = perPreset.get(asked.capabilities);
  if (chosen === undefined) {
    chosen = Object.freeze(choose(asked, host));
    perPreset.set(asked.capabilities, chosen);
  }
  return chosen;
}

function choose(
  { capabilities: preset, capAdd, capDrop, privileged }: CapabilitiesAsked,
  host: CapabilityHost,
): readonly CapabilityName[] {
  const every = preset === EVERY_CAPABILITY || capAdd.includes('ALL');
  const start = capAdd.includes('ALL') ? EVERY_CAPABILITY : capDrop.includes('ALL') ? [] : preset;
  const chosen = new Set<CapabilityName>(start);
  for (const name of capDrop) if (name !== 'ALL') chosen.delete(capability(name));
  if (every) for (const name of start) if (!host.capabilities.has(name)) chosen.delete(name);
  // A node leads to the machine's disks; one of a user namespace cannot be opened.
  const guarded = host.rootless || privileged || (host.controls & Control.devices) !== 0;
  if (!guarded) chosen.delete('CAP_MKNOD');
  for (const name of capAdd) if (name !== 'ALL') chosen.add(capability(name));
  if (!guarded && chosen.has('CAP_MKNOD')) throw unguarded();
  const list = [...chosen];
  const lacking = list.filter((name) => !host.capabilities.has(name));
  if (lacking.length > 0) throw withheld(lacking);
  return list;
}

function unguarded(): CaissonError<'ERR_UNSUPPORTED'> {
  return new CaissonError(
    'ERR_UNSUPPORTED',
    { what: 'security.capAdd: MKNOD', reason: 'no device cgroup guards the nodes that it makes' },
    { hint: "Give the program's machine device cgroups: Runtime.check() says what is missing." },
  );
}

const capability = (name: string): CapabilityName => `CAP_${name}` as CapabilityName;

function withheld(lacking: readonly CapabilityName[]): CaissonError<'ERR_UNSUPPORTED'> {
  const names = lacking.join(', ');
  return new CaissonError(
    'ERR_UNSUPPORTED',
    { what: names, reason: 'this program was started without, so it cannot give it' },
    { hint: `Leave it out (security.capDrop), or give the program ${names}.` },
  );
}

/** From a mask of capget(2), as /proc/PID/status has it. */
export function capabilitiesOf(mask: bigint): ReadonlySet<CapabilityName> {
  return new Set(EVERY_CAPABILITY.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n));
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
