// What a run of the benchmark stands on: a temporary folder with the compiled C programs and the
// image, the processes it started, and the undoing of all of it in reverse order.

import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const BENCH = dirname(fileURLToPath(import.meta.url));

/** Thrown by a subject that cannot be measured here; the text goes into the report. */
export class Unavailable extends Error {}

/** Everything that a run made, undone last in first out; each step may fail without stopping the rest. */
export class Undo {
  /** @type {(() => unknown)[]} */
  #steps = [];

  /** @param {() => unknown} step */
  push(step) {
    this.#steps.push(step);
  }

  async all() {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        console.error(`clean-up: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

/** Starts something at its first use and remembers why it could not. @template T @param {() => T} make */
export function once(make) {
  /** @type {{ value: T } | { error: unknown } | undefined} */
  let state;
  return () => {
    if (state === undefined) {
      try {
        state = { value: make() };
      } catch (error) {
        state = { error };
      }
    }
    if ('error' in state) throw state.error;
    return state.value;
  };
}

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

/** Ends what was started and still runs: each by its own pid. */
export function endPrograms() {
  for (const child of running) child.kill('SIGTERM');
}

/**
 * Starts a program that ends when the benchmark does.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 */
export function start(file, args, options) {
  const child = spawn(file, args, options);
  running.add(child);
  child.once('exit', () => running.delete(child));
  child.once('error', () => running.delete(child));
  return child;
}

/**
 * Runs a program to its end and gives its standard output.
 *
 * @param {string} file
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<string>}
 */
export async function output(file, args, options = {}) {
  return await new Promise((resolve, reject) => {
    const child = start(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk) => (stdout += chunk));
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(stdout);
      else
        reject(
          new Unavailable(`${file} ended with ${signal ?? code}: ${stderr.trim().slice(-300)}`),
        );
    });
  });
}

/** @param {string} name */
export function hasProgram(name) {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, name)));
}

/**
 * @typedef {object} Machine
 * @property {string} folder    everything of this run
 * @property {string} image     the image's files: /bin/true, /bin/idle, /bin/byte, /bin/busybox
 * @property {string} skeleton  the layer with the mount points
 * @property {string} naive
 * @property {string} prepared
 * @property {string} spawner
 */

/**
 * Compiles the programs and lays out the image.
 *
 * @param {Undo} undo
 * @returns {Machine}
 */
export function makeMachine(undo) {
  if (!hasProgram('gcc')) throw new Unavailable('gcc is needed: apt-get install gcc libc6-dev');
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync);
  if (busybox === undefined)
    throw new Unavailable('busybox is needed: apt-get install busybox-static');

  const folder = mkdtempSync(join(tmpdir(), 'caisson-bench-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o755);

  const image = join(folder, 'image');
  const skeleton = join(folder, 'skeleton');
  for (const name of ['bin', 'etc']) mkdirSync(join(image, name), { recursive: true });
  for (const root of [image, skeleton]) {
    for (const name of ['dev', 'proc', 'sys', 'tmp', 'etc', 'run', 'var', 'root']) {
      mkdirSync(join(root, name), { recursive: true });
    }
    for (const name of ['hosts', 'hostname', 'resolv.conf'])
      writeFileSync(join(root, 'etc', name), '');
  }
  writeFileSync(join(image, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(image, 'etc/group'), 'root:x:0:\n');
  copyFileSync(busybox, join(image, 'bin/busybox'));

  /** @param {string} source @param {string} target @param {string[]} flags */
  const compile = (source, target, ...flags) => {
    execFileSync('gcc', ['-O2', ...flags, '-o', target, join(BENCH, source)], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    return target;
  };
  for (const name of ['true', 'idle', 'byte'])
    compile(`${name}.c`, join(image, 'bin', name), '-static');
  return {
    folder,
    image,
    skeleton,
    naive: compile('naive.c', join(folder, 'naive')),
    prepared: compile('prepared.c', join(folder, 'prepared')),
    spawner: compile('spawner.c', join(folder, 'spawner')),
  };
}

/** Which share of the processors' time others take, looked at for two seconds. */
export async function othersShare() {
  const times = () =>
    cpus().reduce(
      (sum, { times: { idle, ...busy } }) => ({
        idle: sum.idle + idle,
        busy: sum.busy + Object.values(busy).reduce((a, b) => a + b, 0),
      }),
      { idle: 0, busy: 0 },
    );
  const before = times();
  await sleep(2000);
  const after = times();
  const busy = after.busy - before.busy;
  return busy / (busy + after.idle - before.idle);
}

/** The machine in words that name no machine. */
export function describeMachine() {
  const model =
    /^model name\s*:\s*(.*)$/mu.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const cgroups = mounts.some((line) => / \/sys\/fs\/cgroup cgroup2 /u.test(line))
    ? 'v2'
    : mounts.some((line) => / cgroup2 /u.test(line))
      ? 'v1 with v2 beside it (hybrid)'
      : 'v1';
  const temporary = mounts
    .map((line) => line.split(' '))
    .filter(
      ([, path]) =>
        path !== undefined && `${tmpdir()}/`.startsWith(path === '/' ? '/' : `${path}/`),
    )
    .sort((a, b) => (b[1]?.length ?? 0) - (a[1]?.length ?? 0))[0]?.[2];
  return {
    cores: availableParallelism(),
    processor: model,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release().split('-')[0] ?? release(),
    node: process.version,
    cgroups,
    store: temporary ?? 'unknown',
    mounts: mounts.length - 1,
  };
}
