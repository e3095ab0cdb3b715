import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach } from 'vitest';

import { TEMP_PREFIX } from './temp.js';

/** How long clean-up may take after the last promise has settled; an emulated machine gets more. */
const PATIENCE_MS = process.env['CGROUP2_VM'] === '1' ? 5_000 : 1_000;

export interface LeakOptions {
  /** Further store roots and run folders to watch; those made by tempStore() are found by themselves. */
  readonly folders?: readonly string[];
}

/**
 * What of ours exists on the machine now, one line each: mounts in every mount namespace, cgroups in
 * every hierarchy, network links, nft tables, descriptors and children of this process, supervisors and
 * what runs below them, files in the temp folder, records in store and run folders.
 *
 * By default anything on the machine that names caisson counts. `LEAK_SCOPE=own` counts only what this
 * test process made, for a machine where several suites run at once.
 */
export function snapshot(options: LeakOptions = {}): Set<string> {
  const found = new Set<string>();
  const mark = process.env['LEAK_SCOPE'] === 'own' ? TEMP_PREFIX : 'caisson';
  const processes = readProcesses();
  mounts(found, processes, mark);
  runningProcesses(found, processes, mark);
  cgroups(found, mark);
  links(found);
  nftTables(found);
  descriptors(found);
  temporaryFiles(found, options.folders ?? []);
  return found;
}

/**
 * Takes a snapshot now; the returned function asserts that nothing has been added since, waiting up to
 * one second for it:
 *
 *     const settled = leak();
 *     …
 *     await settled();
 */
export function leak(options: LeakOptions = {}): () => Promise<void> {
  const before = snapshot(options);
  return async () => {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const left = [...snapshot(options)].filter((line) => !before.has(line));
      if (left.length === 0) return;
      if (performance.now() >= deadline) throw new Error(`left behind:\n  ${left.join('\n  ')}`);
      await sleep(50);
    }
  };
}

/** The leak check around each test of a file. A Runtime shared by the tests is opened before: in `beforeAll`. */
export function checkLeaks(options: LeakOptions = {}): void {
  let settled: (() => Promise<void>) | undefined;
  // Hooks stack: registered first, this one runs first before a test and last after it.
  beforeEach(() => {
    settled = leak(options);
  });
  afterEach(async () => {
    await settled?.();
    settled = undefined;
  });
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly executable: string;
  readonly mountNamespace: string;
}

function readProcesses(): Process[] {
  const processes: Process[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    if (stat === '') continue;
    // The command of a process may hold anything, parentheses too: the fields start after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    processes.push({
      pid: Number(name),
      parent: Number(fields[1]),
      command:
        read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim() ||
        stat.slice(0, stat.lastIndexOf(')') + 1),
      executable: link(`/proc/${name}/exe`),
      mountNamespace: link(`/proc/${name}/ns/mnt`),
    });
  }
  return processes;
}

/** This namespace's mounts all count; of a foreign one those that name us, once per namespace. */
function mounts(found: Set<string>, processes: readonly Process[], mark: string): void {
  const own = link('/proc/self/ns/mnt');
  const seen = new Set<string>(['']);
  for (const { pid, mountNamespace } of processes) {
    if (seen.has(mountNamespace)) continue;
    seen.add(mountNamespace);
    for (const line of read(`/proc/${pid}/mountinfo`).split('\n')) {
      if (line.includes(mark)) found.add(`mount in ${mountNamespace}: ${line}`);
    }
  }
  if (process.env['LEAK_SCOPE'] === 'own') return;
  for (const line of read('/proc/self/mountinfo').split('\n')) {
    if (line !== '') found.add(`mount in ${own}: ${line}`);
  }
}

/** Descendants of this process, and every process that is a supervisor, is started by one, or names us. */
function runningProcesses(found: Set<string>, processes: readonly Process[], mark: string): void {
  const parents = new Map(processes.map(({ pid, parent }) => [pid, parent]));
  const ours = new Set<number>();
  for (const { pid, command, executable } of processes) {
    // The memfd a supervisor runs from shows as "/memfd:caisson-supervisor (deleted)".
    const supervisor =
      /caisson-supervisor/.test(executable) || command.startsWith('caisson-supervisor');
    const inScope = mark === 'caisson' || command.includes(mark);
    if (supervisor && inScope) ours.add(pid);
  }
  for (const { pid, command } of processes) {
    if (pid === process.pid) continue;
    let ancestor = parents.get(pid);
    for (let depth = 0; ancestor !== undefined && depth < 64; depth++) {
      if (ancestor === process.pid || ours.has(ancestor)) ours.add(pid);
      ancestor = parents.get(ancestor);
    }
    if (ours.has(pid)) found.add(`process ${pid}: ${command}`);
  }
}

/** Groups in which runtimes live, in each hierarchy; a parent like /caisson itself may stay. */
function cgroups(found: Set<string>, mark: string): void {
  const points = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');
  const walk = (folder: string, below: boolean): void => {
    for (const name of subfolders(folder)) {
      const path = join(folder, name);
      if (below) found.add(`cgroup ${path}`);
      walk(path, below || name.includes(mark));
    }
  };
  for (const point of points) walk(point, false);
}

function links(found: Set<string>): void {
  for (const name of names('/sys/class/net')) found.add(`link ${name}`);
}

let hasNft: boolean | undefined;

function nftTables(found: Set<string>): void {
  hasNft ??= ['/usr/sbin/nft', '/sbin/nft', '/usr/bin/nft'].some((path) => existsSync(path));
  if (!hasNft || process.getuid?.() !== 0) return;
  try {
    const tables = execFileSync('nft', ['list', 'tables'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    for (const line of tables.split('\n')) if (line !== '') found.add(`nft ${line}`);
  } catch {
    // No nf_tables in this kernel: nothing of it can be left.
  }
}

/** What libuv opens when it first needs it, and keeps: not ours to close. */
const LAZY = /^anon_inode:\[(?:eventpoll|eventfd|io_uring)\]$|^\/dev\/(?:null|urandom|random)$/;

function descriptors(found: Set<string>): void {
  for (const name of names('/proc/self/fd')) {
    const target = link(`/proc/self/fd/${name}`);
    // The folder being listed has been closed again by now, or shows as itself.
    if (target === '' || LAZY.test(target) || /^\/proc\/\d+\/fd$/.test(target)) continue;
    found.add(`descriptor ${name}: ${target}`);
  }
}

/** Folders of helpers are the test's own; what is inside a store or run folder is the library's. */
function temporaryFiles(found: Set<string>, folders: readonly string[]): void {
  const watched = [...folders, '/run/caisson', '/var/lib/caisson'];
  for (const name of names(tmpdir())) {
    if (name.startsWith(TEMP_PREFIX)) {
      watched.push(join(tmpdir(), name, 's'), join(tmpdir(), name, 'r'));
    } else if (name.startsWith('caisson') && !/^caisson-(test|user)-/.test(name)) {
      // Not a folder of a test's, here or in another worker: the library's.
      if (process.env['LEAK_SCOPE'] !== 'own') found.add(`file ${join(tmpdir(), name)}`);
    }
  }
  for (const folder of watched) {
    for (const name of names(folder)) {
      // Images, layers, volumes and networks stay by intent. Records of containers, scratch slots and a
      // runtime's own folder do not.
      if (['images', 'layers', 'volumes', 'networks'].includes(name)) continue;
      if (['containers', 'scratch'].includes(name)) {
        for (const inner of names(join(folder, name)))
          found.add(`file ${join(folder, name, inner)}`);
      } else if (isFolder(join(folder, name))) {
        found.add(`file ${join(folder, name)}`);
      }
    }
    // Half-unpacked layers lie beside the finished ones, which are named by their key alone.
    for (const name of names(join(folder, 'layers'))) {
      if (/[.~]|tmp|part/.test(name)) found.add(`file ${join(folder, 'layers', name)}`);
    }
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function subfolders(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return [];
  }
}

function isFolder(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}
