// A container's plan → a bundle that any OCI runtime can start. The root file system is its caller's to give.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import type { OciMount, OciSpec } from '../container/oci-spec.js';
import type { Plan } from '../container/plan.js';

export interface BundleContent {
  readonly plan: Plan;
  /** `specOfPlan(plan)`: with the seccomp profile spelled out. */
  readonly spec: OciSpec;
  /** Absolute, or relative to the bundle. */
  readonly rootfs: string;
  readonly cgroupsPath?: string;
}

/**
 * Writes config.json and the small files that a container finds in /etc, which are mounts of the bundle's own.
 *
 * @throws {@link CaissonError} `ERR_UNSUPPORTED` for what OCI cannot say: copy-on-write folders of the host, users
 * and groups by name, namespaces of other containers.
 */
export async function writeBundle(folder: string, content: BundleContent): Promise<void> {
  const config = configOf(content);
  await mkdir(join(folder, FILES), { recursive: true });
  for (const { path, content: text, mode } of content.plan.files) {
    await writeFile(join(folder, fileOf(path)), text, { mode });
  }
  await writeFile(join(folder, 'config.json'), toJson(config));
}

const FILES = 'files';
const fileOf = (path: string): string => join(FILES, path.replaceAll('/', '-').slice(1));

function configOf({ plan, spec, rootfs, cgroupsPath }: BundleContent): object {
  const { process, linux } = spec;
  const groups = plan.groupAdd.map((group) => numeric(group, `the group ${group}`));
  if (process.user.username !== undefined) throw cannot(`the user ${process.user.username}`);
  for (const { type, path } of linux.namespaces) {
    if (path?.startsWith('container:') === true) throw cannot(`the ${type} namespace of another`);
  }
  const files = plan.files.map(({ path }): OciMount => ({
    destination: path,
    type: 'bind',
    source: fileOf(path),
    options: ['bind', 'rprivate', 'nosuid'],
  }));
  return {
    ...spec,
    root: { ...spec.root, path: rootfs },
    process: {
      ...process,
      ...(groups.length === 0 ? {} : { user: { ...process.user, additionalGids: groups } }),
    },
    mounts: [...spec.mounts.map(asOthersHaveIt), ...files],
    linux: { ...linux, ...(cgroupsPath === undefined ? {} : { cgroupsPath }) },
  };
}

function asOthersHaveIt(mount: OciMount): OciMount {
  if (mount.type === 'overlay') throw cannot(`a copy-on-write folder at ${mount.destination}`);
  return mount;
}

function numeric(text: string, what: string): number {
  if (!/^\d+$/.test(text)) throw cannot(what);
  return Number(text);
}

const cannot = (what: string): CaissonError =>
  new CaissonError('ERR_UNSUPPORTED', { what: `${what}, in an OCI bundle` });

/** 2^64-1, which is no JavaScript number: only limits are ever -1 in a config. */
const UNLIMITED = '18446744073709551615';

function toJson(config: object): string {
  const mark = `unlimited-${process.pid}`;
  const text = JSON.stringify(
    config,
    (key, value: unknown) => ((key === 'soft' || key === 'hard') && value === -1 ? mark : value),
    2,
  );
  return `${text.replaceAll(`"${mark}"`, UNLIMITED)}\n`;
}
