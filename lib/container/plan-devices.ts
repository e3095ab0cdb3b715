// Device nodes of the host → nodes of the container, or binds of them where nodes cannot be made. Pure.
import { invalid, quote } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { HostDevice } from '../host/devices.js';
import { Control } from '../native/protocol.js';
import type { DeviceAsked } from './device-request.js';
import type { OciDevice, OciMount } from './oci-spec.js';

export interface DeviceHost {
  readonly rootless: boolean;
  /** What its cgroups can do: bits of `Control`. */
  readonly controls: number;
  /** The node at a path of the host, or those below a folder. */
  readonly devicesAt: (path: string) => readonly HostDevice[];
  readonly allDevices: () => readonly HostDevice[];
}

export interface DevicePlan {
  readonly nodes: readonly OciDevice[];
  readonly mounts: readonly OciMount[];
  readonly rules: readonly DeviceRule[];
}

/** What the container may do with a device, by whatever node. */
export interface DeviceRule {
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly permissions: string;
}

interface Given {
  readonly device: HostDevice;
  readonly path: string;
  readonly permissions: string;
}

export const NO_DEVICES: DevicePlan = Object.freeze({
  nodes: Object.freeze([]),
  mounts: Object.freeze([]),
  rules: Object.freeze([]),
});

export function planDevices(
  asked: readonly DeviceAsked[],
  privileged: boolean,
  host: DeviceHost,
  userns = false,
): DevicePlan {
  if (asked.length === 0 && !privileged) return NO_DEVICES;
  const given = new Map<string, Given>();
  if (privileged) {
    for (const device of host.allDevices()) {
      // As an ordinary user, what that user may use.
      if (host.rootless && !(device.mayRead && device.mayWrite)) continue;
      if (!OURS.has(device.path))
        given.set(device.path, { device, path: device.path, permissions: 'rwm' });
    }
  }
  asked.forEach((one, index) => {
    for (const each of resolve(one, index, host)) given.set(each.path, each);
  });
  const list = [...given.values()];
  const rules = list.map(({ device: { type, major, minor }, permissions }) => ({
    type,
    major,
    minor,
    permissions,
  }));
  const made = list.filter(({ path }) => !OURS.has(path));
  return host.rootless || userns
    ? { nodes: NO_DEVICES.nodes, mounts: made.map(toBind), rules }
    : { nodes: made.map(toNode), mounts: NO_DEVICES.mounts, rules };
}

/** What every container's /dev has: addon/sys/device_nodes.h. */
const OURS: ReadonlyMap<string, string> = new Map([
  ['/dev/null', 'c 1:3'],
  ['/dev/zero', 'c 1:5'],
  ['/dev/full', 'c 1:7'],
  ['/dev/random', 'c 1:8'],
  ['/dev/urandom', 'c 1:9'],
  ['/dev/tty', 'c 5:0'],
]);
const TAKEN = /^\/dev(\/(fd|stdin|stdout|stderr|core|ptmx|console|pts|shm|mqueue)(\/.*)?)?$/;

function resolve(asked: DeviceAsked, index: number, host: DeviceHost): readonly Given[] {
  const option = `security.devices[${index}]`;
  const found = host.devicesAt(asked.hostPath);
  if (found.length === 0) {
    throw invalid(
      option,
      `${quote(asked.hostPath)} is no device of this machine, nor a folder of some`,
    );
  }
  return found.map((device) => {
    const path = asked.path + device.path.slice(asked.hostPath.length);
    const name = `${device.type} ${device.major}:${device.minor}`;
    if ((OURS.get(path) ?? name) !== name || TAKEN.test(path)) {
      throw invalid(option, `${quote(path)} is what every container has`);
    }
    if (host.rootless) checkAccess(device, asked.permissions);
    else if (!asked.permissions.includes('rw') && (host.controls & Control.devices) === 0) {
      throw new CaissonError('ERR_UNSUPPORTED', {
        what: `${option}.permissions: ${quote(asked.permissions)}`,
        reason: 'no device cgroup keeps the container to it',
      });
    }
    return { device, path, permissions: asked.permissions };
  });
}

/** Without a device cgroup the user's own rights are what counts. */
function checkAccess(device: HostDevice, permissions: string): void {
  const what = `device ${quote(device.path)} as an ordinary user`;
  const lacks = (letter: string, may: boolean): boolean => permissions.includes(letter) && !may;
  if (lacks('r', device.mayRead) || lacks('w', device.mayWrite)) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      { what, reason: 'this user may not open it' },
      {
        hint:
          `Let the user open it (ls -l says which group may: sudo usermod -aG GROUP "$(id -un)"), ` +
          'or run the program as root.',
      },
    );
  }
  const more = (letter: string, may: boolean): boolean => !permissions.includes(letter) && may;
  if (more('r', device.mayRead) || more('w', device.mayWrite)) {
    throw new CaissonError(
      'ERR_UNSUPPORTED',
      {
        what: `${what}, with permissions ${quote(permissions)}`,
        reason: 'this user may do more with it, and only root can keep a container from that',
      },
      { hint: 'Give it with permissions "rwm", or run the program as root.' },
    );
  }
}

const toNode = ({ device, path }: Given): OciDevice => ({
  path,
  type: device.type,
  major: device.major,
  minor: device.minor,
  fileMode: device.mode,
  uid: device.uid,
  gid: device.gid,
});

const toBind = ({ device, path }: Given): OciMount => ({
  destination: path,
  type: 'bind',
  source: device.path,
  options: ['bind', 'rprivate', 'nosuid', 'noexec'],
});
