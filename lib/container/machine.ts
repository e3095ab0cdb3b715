import { existsSync, readdirSync } from 'node:fs';
import { hostname, release } from 'node:os';
import { readAppArmor } from '../host/apparmor.js';
import { allDevices, devicesAt } from '../host/devices.js';
import { readText } from '../host/look.js';
import { readSelinux } from '../host/selinux.js';
import { thermalPaths } from '../host/thermal.js';
import { CgroupMode } from '../native/protocol.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { capabilitiesOf } from './capabilities.js';
import { MASKED_PATHS } from './defaults.js';
import type { PlanHost } from './plan.js';

const KEY = Symbol('caisson.plan-host');

/** What plans must know of this machine. Read once a Runtime, but for what is asked for rarely. */
export function planHost(parts: RuntimeParts): PlanHost {
  return parts.slot(KEY, () => {
    const limits = textOf('/proc/self/limits');
    const rootless = parts.mode === 'rootless';
    return {
      rootless,
      uids: parts.supervisor.facts.mappedUids,
      gids: parts.supervisor.facts.mappedGids,
      capabilities: capabilitiesOf(rootless ? ALL : boundingSet()),
      cgroups: parts.cgroupMode !== CgroupMode.none,
      controls: parts.controls,
      stackBytes: readLimit(limits, 'Max stack size', 'soft'),
      openFiles: Math.min(readLimit(limits, 'Max open files', 'hard'), MOST_OPEN_FILES),
      hostname: hostname(),
      devicesAt,
      allDevices,
      arch: process.arch,
      release: release(),
      get mqueue() {
        return existsSync('/dev/mqueue');
      },
      appArmor: readAppArmor(),
      get selinux() {
        return readSelinux();
      },
      maskedPaths: maskedPaths(),
      get timeNamespaces() {
        return existsSync('/proc/self/ns/time');
      },
      // Only a container in the host's network namespace looks at these, and they may change.
      get hosts() {
        return textOf('/etc/hosts');
      },
      get resolvConf() {
        return textOf('/etc/resolv.conf');
      },
      get oomScoreAdj() {
        return Number(textOf('/proc/self/oom_score_adj'));
      },
      get pageSizes() {
        return pageSizes();
      },
    };
  });
}

/** fs.nr_open by default: no limit can be above it. */
const MOST_OPEN_FILES = 1_048_576;

/** A line of /proc/PID/limits: name, soft, hard, unit, in columns. */
function readLimit(text: string, name: string, which: 'soft' | 'hard'): number {
  const match = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(text);
  const value = match?.[which === 'soft' ? 1 : 2];
  return value === undefined || value === 'unlimited' ? Infinity : Number(value);
}

function maskedPaths(): readonly string[] {
  const thermal = thermalPaths();
  return thermal.length === 0 ? MASKED_PATHS : Object.freeze([...MASKED_PATHS, ...thermal]);
}

/** A user namespace's root has every capability there is in it. */
const ALL = 2n ** 64n - 1n;

/** What root's programs get at their start. */
function boundingSet(): bigint {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(textOf('/proc/self/status'))?.[1];
  return mask === undefined ? ALL : BigInt(`0x${mask}`);
}

/** `hugepages-2048kB` is 2MB to the files of a cgroup. */
function pageSizes(): readonly string[] {
  try {
    return readdirSync('/sys/kernel/mm/hugepages').map((name) => {
      const kilobytes = Number(/\d+/.exec(name)?.[0]);
      if (kilobytes >= 2 ** 20) return `${kilobytes / 2 ** 20}GB`;
      return kilobytes >= 1024 ? `${kilobytes / 1024}MB` : `${kilobytes}KB`;
    });
  } catch {
    return []; // a kernel without them
  }
}

/** A machine without it has nothing to pass on. */
const textOf = (path: string): string => readText(path) ?? '';
