import {
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { invalid } from '../errors/arguments.js';
import type { HostRequest } from './request.js';

/** One path of this machine that Image.host() may show. */
export interface HostPath {
  readonly path: string;
  readonly kind: 'folder' | 'file';
  /** When it is a link: what it says, and where that ends. */
  readonly link?: { readonly text: string; readonly real: string };
}

/**
 * Below /etc: what programs need to run, and nothing that is a secret or says more about this machine.
 * Not here on purpose: shadow, sudoers, ssh, ssl/private, machine-id, ld.so.preload.
 */
const ETC = [
  'alternatives',
  'crypto-policies',
  'group',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'nsswitch.conf',
  'os-release',
  'passwd',
  'pki/ca-trust/extracted',
  'pki/tls/certs',
  'protocols',
  'services',
  'ssl/certs',
  'ssl/openssl.cnf',
  'timezone',
];

/** The allow-list, as far as this machine has it, and what `paths` adds. A few dozen lstat calls. */
export function readHostPaths({ paths }: HostRequest): readonly HostPath[] {
  const libraries = readdirSync('/').filter((name) => name.startsWith('lib'));
  const wanted = [
    ...['usr', 'bin', 'sbin', ...libraries, 'opt'].map((name) => `/${name}`),
    nodePath(),
    ...ETC.map((name) => `/etc/${name}`),
  ];
  const found = wanted.map(look).filter((path) => path !== undefined);
  const asked = paths.map((path, i) => {
    const seen = look(path);
    if (seen === undefined) throw invalid(`paths[${i}]`, `${JSON.stringify(path)} does not exist`);
    return seen;
  });
  return [...found, ...asked];
}

/** What is mounted somewhere below `folder`, as /proc/self/mountinfo says: proc_pid_mountinfo(5). */
export function mountedBelow(
  folder: string,
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
): string | undefined {
  const points = mountinfo
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
  return points.find((point) => point.startsWith(`${folder}/`));
}

/** The folder of the running node; the program alone where the folder is more than its place. */
function nodePath(): string {
  const folder = dirname(process.execPath);
  const broad = ['/', '/etc', '/home', '/root', '/srv', '/tmp', '/var', homedir()];
  return broad.includes(folder) ? process.execPath : folder;
}

function look(path: string): HostPath | undefined {
  try {
    const status = lstatSync(path);
    if (status.isSymbolicLink()) {
      const real = realpathSync(path);
      const kind = statSync(real).isDirectory() ? 'folder' : 'file';
      return { path, kind, link: { text: readlinkSync(path), real } };
    }
    return { path, kind: status.isDirectory() ? 'folder' : 'file' };
  } catch {
    return undefined; // absent, a dangling link, or not for this user to see
  }
}
