// A bundle → the fields that the one-shot form of launch takes: those of a Launch, and its own.
import { CLONE_FLAGS, encodeLaunch, hasHome } from '../container/encode.js';
import type { OciSpec } from '../container/oci-spec.js';
import { planAppArmor, planSelinux, type LabelHost } from '../container/plan-label.js';
import type { Plan } from '../container/plan.js';
import { planSeccomp, type SeccompHost } from '../container/seccomp-plan.js';
import { StdioKind, Tag } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { BundleRequest } from './config-request.js';
import type { Hook } from './hooks-request.js';

export interface BundleIdentity {
  readonly id: string;
  /** Absolute path. */
  readonly bundle: string;
}

export type BundleHost = SeccompHost & LabelHost;

export function encodeBundle(
  request: BundleRequest,
  { id, bundle }: BundleIdentity,
  host: BundleHost,
): Uint8Array {
  const { spec } = request;
  const kind = spec.process.terminal ? StdioKind.null : StdioKind.descriptor;
  const fields = new FieldWriter(8192);
  fields.append(
    encodeLaunch(bundlePlan(request, host), {
      stdio: [kind, kind, kind],
      wantStarted: true,
      warmPool: false,
    }),
  );
  fields.string(Tag.rootfs, request.rootfs);
  if (request.domainname !== undefined) fields.string(Tag.domainname, request.domainname);
  fields.string(Tag.cgroupsPath, request.cgroupsPath ?? `caisson/${id}`);
  fields.string(Tag.hookState, stateMembers(request, { id, bundle }, spec.ociVersion));
  for (const hook of request.hooks) encodeHook(fields, hook);
  for (const { type, path } of request.joined) {
    fields.group(Tag.namespacePath, (group) =>
      group.u64(Tag.namespaceKind, CLONE_FLAGS[type]).string(Tag.namespaceFile, path),
    );
  }
  return fields.bytes();
}

function bundlePlan(request: BundleRequest, host: BundleHost): Plan {
  const { spec, joined } = request;
  const { uid, gid } = spec.process.user;
  // For the child a namespace is one of the container's own, wherever it comes from.
  const namespaces = [...spec.linux.namespaces, ...joined.map(({ type }) => ({ type }))];
  return {
    oci: withLabels({ ...spec, linux: { ...spec.linux, namespaces } }, host),
    layers: [],
    hostname: spec.hostname ?? '',
    peers: {},
    files: [],
    user: `${uid}:${gid}`,
    groupAdd: request.additionalGids.map(String),
    seccomp: planSeccomp(request.seccomp, spec.process.capabilities.bounding, host),
    setHome: !hasHome(spec.process.env),
    cgroupParent: undefined,
    log: { type: 'none' },
    stdin: 'pipe',
    init: false,
    timeoutMs: 0,
    stopSignal: 'SIGTERM',
    owner: undefined,
  };
}

/** Labels that are asked for are given, or an error: a bundle has no default ones. */
function withLabels(spec: OciSpec, host: LabelHost): OciSpec {
  const { apparmorProfile, selinuxLabel, ...process } = spec.process;
  const { mountLabel, ...linux } = spec.linux;
  const profile =
    apparmorProfile === undefined
      ? undefined
      : planAppArmor(apparmorProfile, false, host, 'process.apparmorProfile');
  const label = planSelinux(selinuxLabel, 'process.selinuxLabel', host);
  const ofMounts = planSelinux(mountLabel, 'linux.mountLabel', host);
  return {
    ...spec,
    process: {
      ...process,
      ...(profile === undefined ? {} : { apparmorProfile: profile }),
      ...(label === undefined ? {} : { selinuxLabel: label }),
    },
    linux: { ...linux, ...(ofMounts === undefined ? {} : { mountLabel: ofMounts }) },
  };
}

/** The state of the runtime-spec without status and pid, which change. */
function stateMembers(
  { annotations }: BundleRequest,
  { id, bundle }: BundleIdentity,
  ociVersion: string,
): string {
  return JSON.stringify({ ociVersion, id, bundle, annotations }).slice(1, -1);
}

function encodeHook(fields: FieldWriter, { point, path, args, env, timeoutMs }: Hook): void {
  fields.group(Tag.hook, (group) => {
    group.u64(Tag.hookPoint, point).string(Tag.hookPath, path);
    group.strings(Tag.hookArg, args).strings(Tag.hookEnv, env);
    if (timeoutMs > 0) group.u64(Tag.hookTimeoutMs, timeoutMs);
  });
}
