// Sysctls of a container: those that belong to one of its namespaces, and no other one, for it would be the
// machine's. Names become paths below /proc/sys, so they are read strictly (CVE-2022-0811).
import { checkString, invalid, kindOf, quote } from '../errors/arguments.js';

/** Whose setting it is: which namespace must be the container's own. */
export type SysctlScope = 'network' | 'ipc' | 'uts';

export type Sysctls = Readonly<Record<string, string>>;

const IPC: ReadonlySet<string> = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

const DOTTED = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/i;
/** As sysctl(8) has it: between slashes a part, such as an interface's name, may have a dot itself. */
const SLASHED = /^[a-z0-9_-]+(?:\/[a-z0-9_-]+(?:[.:@][a-z0-9_-]+)*)+$/i;
const MAX_NAME = 255;
const MAX_VALUE = 4095;

export function parseSysctls(value: unknown): Sysctls {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('security.sysctls', `must be an object, not ${kindOf(value)}`);
  }
  const seen = new Map<string, string>();
  for (const [name, text] of Object.entries(value)) {
    const option = `security.sysctls[${quote(name)}]`;
    if (name.length > MAX_NAME || !(DOTTED.test(name) || SLASHED.test(name))) {
      throw invalid(option, 'must be a name such as "net.core.somaxconn" or "net/core/somaxconn"');
    }
    if (scopeOf(name) === undefined) throw invalid(option, whyNot(name));
    const key = name.replaceAll('/', '.');
    const twin = seen.get(key);
    if (twin !== undefined) throw invalid(option, `is the same setting as ${quote(twin)}`);
    seen.set(key, name);
    checkValue(text, option);
  }
  return value as Sysctls;
}

function checkValue(value: unknown, option: string): void {
  const text = checkString(value, option);
  // eslint-disable-next-line no-control-regex -- those are what must not be in a value
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(text)) throw invalid(option, 'must be one line');
  if (Buffer.byteLength(text) > MAX_VALUE)
    throw invalid(option, `must be at most ${MAX_VALUE} bytes`);
}

/** Undefined: it is none of a namespace's. */
export function scopeOf(name: string): SysctlScope | undefined {
  const dotted = name.replaceAll('/', '.');
  if (dotted.startsWith('net.')) return 'network';
  if (IPC.has(dotted) || dotted.startsWith('fs.mqueue.')) return 'ipc';
  return dotted === 'kernel.domainname' ? 'uts' : undefined;
}

const whyNot = (name: string): string =>
  name.replaceAll('/', '.') === 'kernel.hostname'
    ? 'is the option `hostname`'
    : 'belongs to the whole machine, not to a container';
