import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkString,
  invalid,
  quote,
} from '../errors/arguments.js';

/** A device node of the host, or all those of a folder, as asked for. */
export interface DeviceAsked {
  readonly hostPath: string;
  readonly path: string;
  /** Some of `rwm`, in that order: read, write, make nodes. */
  readonly permissions: string;
}

const KEYS: ReadonlySet<string> = new Set(['hostPath', 'path', 'permissions']);
const MAX_DEVICES = 1000;

export function parseDevices(value: unknown): readonly DeviceAsked[] {
  const list = checkArray(value, 'security.devices');
  if (list.length > MAX_DEVICES) {
    throw invalid('security.devices', `must be at most ${MAX_DEVICES}`);
  }
  return list.map((item, index) => {
    const option = `security.devices[${index}]`;
    return typeof item === 'string' ? parseText(item, option) : parseDevice(item, option);
  });
}

function parseDevice(value: unknown, option: string): DeviceAsked {
  const bag = checkBag(value, option, KEYS);
  const hostPath = checkAbsolutePath(bag['hostPath'], `${option}.hostPath`);
  const { path, permissions } = bag;
  return {
    hostPath,
    path: path === undefined ? hostPath : checkAbsolutePath(path, `${option}.path`),
    permissions:
      permissions === undefined ? 'rwm' : parsePermissions(permissions, `${option}.permissions`),
  };
}

/** As `docker run --device` has it: `/dev/a`, `/dev/a:/dev/b`, `/dev/a:rw`, `/dev/a:/dev/b:rw`. */
function parseText(text: string, option: string): DeviceAsked {
  const [hostPath, ...rest] = text.split(':');
  const path = rest[0]?.startsWith('/') === true ? rest.shift() : undefined;
  const permissions = rest.shift();
  if (rest.length > 0)
    throw invalid(option, `must be like "/dev/a:/dev/b:rwm", not ${quote(text)}`);
  return parseDevice({ hostPath, path, permissions }, option);
}

function parsePermissions(value: unknown, option: string): string {
  const text = checkString(value, option);
  if (!/^[rwm]{1,3}$/.test(text) || new Set(text).size !== text.length) {
    throw invalid(option, `must be some of "rwm", each once, not ${quote(text)}`);
  }
  return ['r', 'w', 'm'].filter((letter) => text.includes(letter)).join('');
}
