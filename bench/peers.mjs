// The floors and the peers: each a subject that runs as whole processes, timed by C.

import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { hasProgram, output, Unavailable } from './machine.mjs';

/** @typedef {import('./machine.mjs').Machine} Machine */
/** @typedef {import('./machine.mjs').Undo} Undo */

/** @param {string} text @returns {number[]} milliseconds, from nanoseconds: the first number of each line */
const milliseconds = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[0]) / 1e6);

// ---- floors -----------------------------------------------------------------------------------

/** @param {Machine} machine */
function floorArguments(machine) {
  const folder = join(machine.folder, 'floor');
  mkdirSync(folder, { recursive: true });
  return ['--image', machine.image, '--skeleton', machine.skeleton, '--folder', folder];
}

/**
 * @param {Machine} machine
 * @param {'naive' | 'prepared'} program
 * @param {number} count
 * @param {string[]} [more]
 */
export async function floor(machine, program, count, more = []) {
  const text = await output(machine[program], [
    ...floorArguments(machine),
    ...['--count', String(count), '--warmup', '3'],
    ...more,
  ]);
  return milliseconds(text);
}

/**
 * Launches per second of the naive program, clean-up included.
 *
 * @param {Machine} machine
 * @param {number} workers
 * @param {number} seconds
 * @param {string[]} [more]
 */
export async function floorRate(machine, workers, seconds, more = []) {
  const text = await output(machine.naive, [
    ...floorArguments(machine),
    ...more,
    ...['--workers', String(workers), '--seconds', String(seconds)],
  ]);
  const [count = 0, ns = 1] = text.trim().split(' ').map(Number);
  return (count / ns) * 1e9;
}

// ---- crun, runc, bwrap --------------------------------------------------------------------------

// crun 1.8 wants every controller that the kernel knows to be mounted: hugetlb is added, in a mount
// namespace of the benchmark's own, where a tmpfs with the host's hierarchies takes the place of
// /sys/fs/cgroup. $1 is an empty folder.
const PRIVATE_CGROUPS = `
set -e
folder=$1; shift
if ! grep -q ' /sys/fs/cgroup cgroup2 ' /proc/mounts && ! [ -d /sys/fs/cgroup/hugetlb ] &&
   grep -q '^hugetlb' /proc/cgroups; then
  mount -t tmpfs cgroups "$folder"
  for hierarchy in /sys/fs/cgroup/*/; do
    name=$(basename "$hierarchy")
    mkdir "$folder/$name"
    mount --rbind "$hierarchy" "$folder/$name"
  done
  mkdir "$folder/hugetlb"
  mount -t cgroup -o hugetlb cgroup "$folder/hugetlb"
  mount --move "$folder" /sys/fs/cgroup
fi
`;

/**
 * Runs a shell script in a mount namespace where crun and runc find the cgroups they want.
 *
 * @param {Machine} machine
 * @param {string} script
 * @param {string[]} args  $1, $2, … of the script
 */
async function privately(machine, script, args) {
  const folder = join(machine.folder, 'cgroups');
  mkdirSync(folder, { recursive: true });
  return await output('unshare', [
    ...['--mount', '--propagation', 'private', 'sh', '-c', `${PRIVATE_CGROUPS}\n${script}`],
    ...['sh', folder, ...args],
  ]);
}

/** Those of floor.h's kLimits, in the terms of OCI. */
const LIMITS = {
  memory: { limit: 2 ** 28, swap: 2 ** 29 },
  cpu: { shares: 512, quota: 100_000, period: 100_000, cpus: '0' },
  pids: { limit: 100 },
};

/**
 * An OCI bundle over the image's folder.
 *
 * @param {Machine} machine
 * @param {string} runtime
 * @param {string} program
 * @param {boolean} [limited]
 */
async function bundle(machine, runtime, program, limited = false) {
  if (!hasProgram(runtime)) throw new Unavailable(`${runtime} is not installed`);
  const folder = join(machine.folder, `${runtime}-${program}${limited ? '-limited' : ''}`);
  if (existsSync(folder)) return folder;
  mkdirSync(folder);
  await output(runtime, ['spec'], { cwd: folder });
  const file = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  config.process.terminal = false;
  config.process.args = [`/bin/${program}`];
  config.root = { path: machine.image, readonly: false };
  if (limited) config.linux.resources = { ...config.linux.resources, ...LIMITS };
  writeFileSync(file, JSON.stringify(config));
  return folder;
}

/**
 * @param {Machine} machine
 * @param {'crun' | 'runc'} runtime
 * @param {number} count
 * @param {boolean} [limited]
 */
export async function ociRun(machine, runtime, count, limited = false) {
  const folder = await bundle(machine, runtime, 'true', limited);
  const text = await privately(machine, 'exec "$@"', [
    ...[machine.spawner, String(count), '1'],
    ...[
      runtime,
      '--root',
      join(machine.folder, `${runtime}-state`),
      'run',
      '-b',
      folder,
      'bench-%d',
    ],
  ]);
  return milliseconds(text);
}

// The container is started and ended in the same script: crun looks its cgroups up again.
const OCI_EXEC = `
runtime=$1; state=$2; bundle=$3; spawner=$4; count=$5; name=bench-exec-$$
trap '"$runtime" --root "$state" delete --force "$name" >&2 || true' EXIT
trap 'exit 1' TERM INT
"$runtime" --root "$state" run --detach -b "$bundle" "$name" </dev/null >/dev/null 2>&1
"$spawner" "$count" 1 "$runtime" --root "$state" exec "$name" /bin/true
`;

/**
 * @param {Machine} machine
 * @param {'crun' | 'runc'} runtime
 * @param {number} count
 */
export async function ociExec(machine, runtime, count) {
  const folder = await bundle(machine, runtime, 'idle');
  const state = join(machine.folder, `${runtime}-state`);
  return milliseconds(
    await privately(machine, OCI_EXEC, [runtime, state, folder, machine.spawner, String(count)]),
  );
}

/** @param {Machine} machine @param {number} count */
export async function bwrap(machine, count) {
  if (!hasProgram('bwrap')) throw new Unavailable('bwrap is not installed');
  const text = await output(machine.spawner, [
    ...[String(count), '1', 'bwrap', '--unshare-all', '--bind', machine.image, '/'],
    ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp', '/bin/true'],
  ]);
  return milliseconds(text);
}

/** @param {Machine} machine @param {number} count */
export async function podmanRun(machine, count) {
  if (!hasProgram('podman')) throw new Unavailable('podman is not installed');
  // A copy: it writes /run/.containerenv there, which others cannot read.
  const image = join(machine.folder, 'podman-image');
  if (!existsSync(image)) cpSync(machine.image, image, { recursive: true, verbatimSymlinks: true });
  const text = await privately(machine, 'exec "$@"', [
    ...[machine.spawner, String(count), '1', 'podman', '--root', join(machine.folder, 'podman')],
    ...['--runroot', join(machine.folder, 'podman-run'), '--cgroup-manager', 'cgroupfs', 'run'],
    // Those it would set may be above what a machine without CAP_SYS_RESOURCE allows.
    ...['--rm', '--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
    ...['--rootfs', image, '/bin/true'],
  ]);
  return milliseconds(text);
}

// ---- docker -------------------------------------------------------------------------------------

/** A dockerd of the benchmark's own, in a network and a mount namespace that are not the host's, without a bridge. */
export class Docker {
  /** @param {Machine} machine @param {string} client @param {string} host @param {string} container */
  constructor(machine, client, host, container) {
    this.machine = machine;
    this.client = client;
    this.host = host;
    this.container = container;
  }

  /**
   * @param {Machine} machine
   * @param {Undo} undo
   * @param {import('./image-peers.mjs').Network} network
   */
  static async start(machine, undo, network) {
    if (!hasProgram('dockerd')) throw new Unavailable('dockerd is not installed');
    // The client that came with the daemon, where another one is first in PATH.
    const client = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';
    const folder = join(machine.folder, 'docker');
    mkdirSync(folder);
    const parent = `caisson-bench-${process.pid}`;
    const host = `unix://${folder}/sock`;
    let log = '';
    // /run is its own as well: the daemon and its shims leave folders there. Neither tracked nor in
    // the terminal's process group: on Ctrl-C its containers go first.
    const daemon = spawn(
      network.prefix[0] ?? '',
      [
        ...network.prefix.slice(1),
        ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
        ...['mount -t tmpfs run /run && exec "$@"', 'sh', 'dockerd'],
        ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
        ...['--pidfile', join(folder, 'pid'), '--host', host, '--storage-driver', 'overlay2'],
        ...['--iptables=false', '--ip6tables=false', '--bridge=none', '--log-level', 'warn'],
        ...['--cgroup-parent', `/${parent}`],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
    );
    daemon.stderr?.on('data', (chunk) => (log = (log + chunk).slice(-2000)));
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    undo.push(() => removeCgroups(parent));
    undo.push(async () => {
      daemon.kill('SIGTERM');
      await ended;
    });

    const docker = new Docker(machine, client, host, '');
    for (let tries = 0; ; ++tries) {
      const up = await docker.call('version').catch(() => undefined);
      if (up !== undefined) break;
      if (daemon.exitCode !== null || tries === 100) {
        throw new Unavailable(`dockerd does not start: ${log.trim().split('\n').at(-1) ?? ''}`);
      }
      await sleep(200);
    }
    const tar = join(folder, 'image.tar');
    await output('tar', ['-C', machine.image, '-cf', tar, '.']);
    await docker.call('import', tar, 'bench');
    rmSync(tar);
    const id = await docker.call('run', '--detach', '--network', 'none', 'bench', '/bin/idle');
    docker.container = id.trim();
    undo.push(() => docker.call('rm', '--force', docker.container));
    return docker;
  }

  /** @param {string[]} args */
  async call(...args) {
    return await output(this.client, ['--host', this.host, ...args]);
  }

  /** @param {number} count */
  async run(count) {
    return await this.#time(count, 'run', '--rm', '--network', 'none', 'bench', '/bin/true');
  }

  /** @param {number} count */
  async exec(count) {
    return await this.#time(count, 'exec', this.container, '/bin/true');
  }

  /** @param {number} count @param {string[]} args */
  async #time(count, ...args) {
    return milliseconds(
      await output(this.machine.spawner, [
        ...[String(count), '1', this.client, '--host', this.host, ...args],
      ]),
    );
  }
}

/** Removes the groups called `name` at the top of every hierarchy. @param {string} name */
function removeCgroups(name) {
  const top = '/sys/fs/cgroup';
  for (const folder of [
    join(top, name),
    ...readdirSync(top).map((entry) => join(top, entry, name)),
  ]) {
    if (existsSync(folder)) removeTree(folder);
  }
}

/** @param {string} folder */
function removeTree(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  rmdirSync(folder);
}
