import { isAbsolute, join } from 'node:path';
import { checkAbsolutePath, checkString, invalid, notYet } from '../errors/arguments.js';
import type { OciMount } from '../container/oci-spec.js';
import { items, refuse, section, texts } from './config-checks.js';

/** What a mount is anyway: said, and without effect. */
const DEFAULTS: ReadonlySet<string> = new Set([
  ...['async', 'atime', 'defaults', 'dev', 'diratime', 'exec', 'loud', 'noiversion', 'nolazytime'],
  ...['nomand', 'norelatime', 'nostrictatime', 'relatime', 'rw', 'rrw', 'suid', 'tmpcopydown'],
]);

const LATER: ReadonlySet<string> = new Set([
  ...['idmap', 'ridmap', 'remount', 'tmpcopyup', 'unbindable', 'runbindable', 'bindfs'],
  ...['rnosuid', 'rnodev', 'rnoexec', 'rnoatime', 'rsuid', 'rdev', 'rexec', 'ratime'],
  ...['rdiratime', 'rnodiratime', 'rrelatime', 'rnorelatime', 'rstrictatime', 'rnostrictatime'],
  ...['rsymfollow', 'rnosymfollow', 'symfollow', 'nosymfollow'],
]);

const TYPES: ReadonlySet<string> = new Set([
  ...['bind', 'tmpfs', 'proc', 'sysfs', 'devpts', 'mqueue', 'cgroup', 'cgroup2'],
]);

/** In the order of the config, which is the order in which they are made. */
export function parseOciMounts(value: unknown, bundle: string): readonly OciMount[] {
  return items(value, 'mounts').map((mount, index) =>
    parseMount(mount, bundle, `mounts[${index}]`),
  );
}

function parseMount(value: unknown, bundle: string, option: string): OciMount {
  const bag = section(value, option);
  refuse(bag, option, ['uidMappings', 'gidMappings']);
  const destination = checkString(bag['destination'], `${option}.destination`);
  const asked = texts(bag['options'], `${option}.options`);
  const isBind = asked.includes('bind') || asked.includes('rbind');
  const type = isBind ? 'bind' : checkString(bag['type'] ?? 'bind', `${option}.type`);
  if (!TYPES.has(type)) throw notYet(`${option}: a mount of type ${JSON.stringify(type)}`);
  const later = asked.find((name) => LATER.has(name));
  if (later !== undefined) throw notYet(`${option}: the mount option ${JSON.stringify(later)}`);
  const options = asked.filter((name) => !DEFAULTS.has(name));
  if (type === 'bind') checkBindOptions(options, option);
  return {
    // runc and crun take a relative one from the root; 1.2 of the spec has made it absolute.
    destination: checkAbsolutePath(join('/', destination), `${option}.destination`),
    type: type === 'cgroup2' ? 'cgroup' : type,
    source: type === 'bind' ? sourceOf(bag['source'], bundle, option) : type,
    options,
  };
}

/** The spec: relative to the bundle. */
function sourceOf(value: unknown, bundle: string, option: string): string {
  const source = checkString(value, `${option}.source`);
  return isAbsolute(source) ? source : join(bundle, source);
}

const BIND: ReadonlySet<string> = new Set([
  ...['bind', 'rbind', 'ro', 'rro', 'nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime'],
  ...['strictatime', 'private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'],
]);

/** What a bind shows has its own file system's options: they are not to be changed here. */
function checkBindOptions(options: readonly string[], option: string): void {
  for (const name of options) {
    if (!BIND.has(name)) {
      throw invalid(`${option}.options`, `${JSON.stringify(name)} is no option of a bind mount`);
    }
  }
}
