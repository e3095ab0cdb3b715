import { execFile } from 'node:child_process';
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';

import { launchBundle, type BundleEnd, type BundleOptions } from '../../lib/oci/launch-bundle.js';
import type { CaissonError } from '../../lib/index.js';
import { busyboxRootfs } from './rootfs.js';
import { tempFolder } from './temp.js';

/** As far as a test changes it; what `runc spec` writes is the model. */
export interface Config {
  process: Record<string, unknown>;
  root: { path: string; readonly?: boolean };
  mounts: { destination: string; type?: string; source?: string; options?: string[] }[];
  linux: { namespaces: { type: string; path?: string }[]; [key: string]: unknown };
  [key: string]: unknown;
}

const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];

/** A config of a shell that runs `script` in a busybox root. */
export function configOf(script: string): Config {
  const safe = ['nosuid', 'noexec', 'nodev'];
  return {
    ociVersion: '1.0.2',
    hostname: 'bundle',
    root: { path: 'rootfs' },
    process: {
      user: { uid: 0, gid: 0 },
      args: ['sh', '-c', script],
      env: ['PATH=/bin'],
      cwd: '/',
      capabilities: Object.fromEntries(
        ['bounding', 'effective', 'permitted'].map((set) => [set, CAPABILITIES]),
      ),
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 1024 }],
      noNewPrivileges: true,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: [...safe, 'mode=1777', 'size=65536k'],
      },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: safe },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...safe, 'ro'] },
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      maskedPaths: ['/proc/kcore', '/proc/keys', '/sys/firmware', '/proc/scsi'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

export interface BundleResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly end: BundleEnd;
  readonly warnings: readonly CaissonError[];
}

export interface Bundle extends AsyncDisposable {
  readonly path: string;
  readonly rootfs: string;
  /** A group of the bundle's own, below one that goes with it. */
  readonly cgroupsPath: string;
  write(config: Config): Promise<void>;
  /** Runs what was written with another runtime: the suite itself is held against it. */
  runc(): Promise<{ stdout: string; stderr: string }>;
  /** Runs what was written with our one-shot form of launch. */
  run(options?: Partial<BundleOptions>): Promise<BundleResult>;
  /** What an OCI command's `delete` will do, when the process that answered for the container was killed. */
  removeGroup(): Promise<void>;
  /** Writes it, runs it here and with runc, and returns what both printed. */
  both(config: Config): Promise<{ ours: string; runc: string }>;
}

let count = 0;

/** A bundle in a folder of its own, with a busybox root. */
export async function bundle(): Promise<Bundle> {
  const folder = await tempFolder();
  const rootfs = join(folder.path, 'rootfs');
  await mkdir(rootfs);
  await busyboxRootfs(rootfs);
  const cgroupsPath = `/${basename(folder.path)}/container`;
  const write = (config: Config): Promise<void> => {
    // In a group of the test's own, below which the leak check finds what is left behind.
    config.linux['cgroupsPath'] ??= cgroupsPath;
    return writeFile(join(folder.path, 'config.json'), JSON.stringify(config));
  };
  const run = async (options: Partial<BundleOptions> = {}): Promise<BundleResult> => {
    const id = `caisson-test-${process.pid}-${count++}`;
    const shot = await launchBundle({ id, bundle: folder.path, ...options });
    if (options.hold === true) shot.start();
    const [stdout, stderr, end] = await Promise.all([
      text(shot.process.stdout!),
      text(shot.process.stderr!),
      shot.ended,
    ]);
    return { stdout, stderr, end, warnings: shot.warnings };
  };
  return {
    path: folder.path,
    rootfs,
    cgroupsPath,
    write,
    run,
    runc: () => runWithRunc(folder.path),
    async both(config) {
      await write(config);
      const ours = await run();
      const runc = await runWithRunc(folder.path);
      return { ours: ours.stdout + ours.stderr, runc: runc.stdout + runc.stderr };
    },
    removeGroup: () => removeGroups(join(basename(folder.path), 'container')),
    [Symbol.asyncDispose]: async () => {
      await removeGroups(basename(folder.path));
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Of every hierarchy; those that are not empty stay, and are found. */
async function removeGroups(path: string): Promise<void> {
  const mount = '/sys/fs/cgroup';
  const entries = await readdir(mount, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  for (const hierarchy of ['', ...folders]) {
    await rmdir(join(mount, hierarchy, path)).catch(() => undefined);
  }
}

const execute = promisify(execFile);

async function runWithRunc(path: string): Promise<{ stdout: string; stderr: string }> {
  const id = `caisson-test-${process.pid}-${count++}`;
  const args = ['--root', join(path, 'runc'), 'run', '--bundle', path, id];
  return await execute('runc', args);
}
