// A bundle's config.json → typed: what can be done of the runtime-spec 1.2, and an error for the rest. Pure.
import { isAbsolute, join } from 'node:path';
import { checkBoolean, checkLabels, checkString, invalid } from '../errors/arguments.js';
import type { OciSpec } from '../container/oci-spec.js';
import type { SeccompAsked } from '../container/seccomp-request.js';
import { refuse, section } from './config-checks.js';
import { parseHooks, type Hook } from './hooks-request.js';
import { parseOciLinux, type JoinedNamespace } from './linux-request.js';
import { parseOciMounts } from './mounts-request.js';
import { parseOciProcess } from './process-request.js';

export interface BundleRequest {
  readonly spec: OciSpec;
  readonly additionalGids: readonly number[];
  readonly seccomp: 'unconfined' | SeccompAsked;
  readonly joined: readonly JoinedNamespace[];
  readonly cgroupsPath: string | undefined;
  /** Absolute path of the root. */
  readonly rootfs: string;
  readonly domainname: string | undefined;
  readonly hooks: readonly Hook[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** sethostname(2), setdomainname(2). */
const MAX_HOSTNAME = 64;

export function parseConfig(value: unknown, bundle: string): BundleRequest {
  const bag = section(value, 'config');
  const version = checkString(bag['ociVersion'], 'ociVersion');
  if (!/^1\.\d+\.\d+/.test(version)) {
    throw invalid('ociVersion', `must be 1.x, not ${JSON.stringify(version)}`);
  }
  refuse(bag, 'config', ['vm']);
  const root = section(bag['root'], 'root');
  const path = checkString(root['path'], 'root.path');
  const { process, additionalGids } = parseOciProcess(bag['process']);
  const { seccomp, joined, cgroupsPath, ...linux } = parseOciLinux(bag['linux']);
  const hostname = nameOf(bag['hostname'], 'hostname');
  const domainname = nameOf(bag['domainname'], 'domainname');
  if (!linux.namespaces.some(({ type }) => type === 'uts')) {
    // It would be the machine's, or another container's.
    if (hostname !== undefined) throw invalid('hostname', 'needs a uts namespace of its own');
    if (domainname !== undefined) throw invalid('domainname', 'needs a uts namespace of its own');
  }
  return {
    spec: {
      ociVersion: version,
      ...(hostname === undefined ? {} : { hostname }),
      root: { path, readonly: checkBoolean(root['readonly'] ?? false, 'root.readonly') },
      process,
      mounts: parseOciMounts(bag['mounts'], bundle),
      linux,
    },
    additionalGids,
    seccomp,
    joined,
    cgroupsPath,
    rootfs: isAbsolute(path) ? path : join(bundle, path),
    domainname,
    hooks: parseHooks(bag['hooks']),
    annotations: checkLabels(bag['annotations'] ?? {}, 'annotations'),
  };
}

function nameOf(value: unknown, option: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const name = checkString(value, option);
  if (Buffer.byteLength(name) > MAX_HOSTNAME) {
    throw invalid(option, `must have at most ${MAX_HOSTNAME} bytes`);
  }
  return name;
}
