// Who else loads and pulls images: each with a storage of its own, that has nothing before.

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { hasProgram, output, start, Unavailable } from './machine.mjs';

/** @typedef {import('./machine.mjs').Machine} Machine */
/** @typedef {import('./machine.mjs').Undo} Undo */

/** A network namespace where loopback is up and nothing else is. */
export class Network {
  /** @param {string} path */
  constructor(path) {
    this.path = path;
  }

  /** @param {Undo} undo */
  static async start(undo) {
    const script = 'ip link set lo up && echo up && exec sleep infinity';
    const holder = spawn('unshare', ['--net', 'sh', '-ec', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = new Promise((resolve) => holder.once('exit', resolve));
    undo.push(async () => {
      holder.kill('SIGKILL');
      await ended;
    });
    for await (const line of createInterface({ input: holder.stdout })) {
      if (line === 'up') return new Network(`/proc/${holder.pid}/ns/net`);
    }
    throw new Unavailable('a network namespace cannot be made');
  }

  /** What goes before a command that is to be there. */
  get prefix() {
    return ['nsenter', `--net=${this.path}`, '--'];
  }
}

/**
 * Debian's registry, with these images. Gives its `HOST:PORT`.
 *
 * @param {Machine} machine
 * @param {Undo} undo
 * @param {Network} network
 * @param {import('./image-fixtures.mjs').Fixtures} fixtures
 */
export async function startRegistry(machine, undo, network, { layout, one, many }) {
  if (!hasProgram('docker-registry')) throw new Unavailable('docker-registry is not installed');
  const folder = join(machine.folder, 'registry');
  mkdirSync(folder);
  // JSON is YAML.
  const config = {
    version: 0.1,
    log: { accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: '127.0.0.1:5000', secret: 's' },
  };
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(config));
  const command = [...network.prefix, 'docker-registry', 'serve', join(folder, 'config.yml')];
  const server = spawn(command[0] ?? '', command.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none' },
  });
  const ended = new Promise((resolve) => server.once('exit', resolve));
  undo.push(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  const host = '127.0.0.1:5000';
  for await (const line of createInterface({ input: server.stderr })) {
    if (!line.includes('listening on')) continue;
    server.stderr.resume();
    for (const { name } of [one, many]) {
      await output(network.prefix[0] ?? '', [
        ...network.prefix.slice(1),
        ...['skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:${name}`],
        `docker://${host}/bench/${name}:latest`,
      ]);
    }
    return host;
  }
  throw new Unavailable('docker-registry does not start');
}

/**
 * Runs commands of a shell as one, in a mount namespace where they leave nothing outside of `folder`: $0. Gives its time.
 *
 * @param {Machine} machine
 * @param {string} line
 * @param {string[]} args  $1, $2, …
 * @param {{ folder: string, network: Network }} where
 */
export async function timeOf(machine, line, args, { folder, network }) {
  const script = `mount -t tmpfs run /run; exec "$@"`;
  const text = await output(
    'unshare',
    [
      ...['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh'],
      ...network.prefix,
      ...[machine.spawner, '1', '0', 'sh', '-ec', line, folder, ...args],
    ],
    { env: { ...process.env, TMPDIR: machine.folder } },
  );
  return Number(text.trim()) / 1e6;
}

/** Folders for what is made, which go when all is measured. */
export class Places {
  #folder;
  #next = 0;

  /** @param {Machine} machine */
  constructor(machine) {
    this.#folder = join(machine.folder, 'made');
  }

  next() {
    const folder = join(this.#folder, String(++this.#next));
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  clear() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const PODMAN =
  'podman --root "$0/storage" --runroot "$0/run" --storage-driver overlay --cgroup-manager cgroupfs';

/** A containerd of the benchmark's own. */
export class Containerd {
  #address;

  /** @param {string} address */
  constructor(address) {
    this.#address = address;
  }

  /** @param {Machine} machine @param {Undo} undo */
  static async start(machine, undo) {
    for (const program of ['containerd', 'ctr']) {
      if (!hasProgram(program)) throw new Unavailable(`${program} is not installed`);
    }
    const folder = join(machine.folder, 'containerd');
    mkdirSync(folder);
    const address = join(folder, 'sock');
    const file = join(folder, 'config.toml');
    writeFileSync(
      file,
      `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${address}"
`,
    );
    const script = 'mount -t tmpfs run /run && exec "$@"';
    const namespaces = ['--net', '--mount', '--propagation', 'private'];
    const command = ['containerd', '--config', file, '--log-level', 'warn'];
    const daemon = start('unshare', [...namespaces, 'sh', '-c', script, 'sh', ...command], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    undo.push(async () => {
      daemon.kill('SIGTERM');
      await ended;
    });
    const containerd = new Containerd(address);
    for (let tries = 0; ; ++tries) {
      if ((await containerd.call('version').catch(() => undefined)) !== undefined)
        return containerd;
      if (daemon.exitCode !== null || tries === 50)
        throw new Unavailable('containerd does not start');
      await sleep(200);
    }
  }

  /** The client with what it needs to find the daemon. */
  get client() {
    return ['ctr', '--address', this.#address, '--namespace', 'bench'];
  }

  /** @param {string[]} args */
  async call(...args) {
    const [file = '', ...more] = this.client;
    return await output(file, [...more, ...args]);
  }

  /** Every image, and what they were made of. */
  async clear() {
    const names = (await this.call('images', 'ls', '--quiet')).trim().split('\n').filter(Boolean);
    if (names.length > 0) await this.call('images', 'rm', '--sync', ...names);
  }
}
