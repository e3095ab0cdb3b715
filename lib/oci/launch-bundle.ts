// Starts the container of a bundle without a Runtime: the supervisor's executable in its one-shot form
// (addon/oci/one_shot.h). What the command of an OCI runtime will be made of; not part of the public API.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { CaissonError } from '../errors/index.js';
import { readAppArmor } from '../host/apparmor.js';
import { readSelinux } from '../host/selinux.js';
import { failureToError } from '../native/failure.js';
import { loadNative } from '../native/load.js';
import { STEPS } from '../native/steps.js';
import { parseConfig, type BundleRequest } from './config-request.js';
import { encodeBundle } from './encode-bundle.js';

export interface BundleOptions {
  readonly id: string;
  /** A folder with a config.json. */
  readonly bundle: string;
  /** Wait, created, until `start()`. @defaultValue `false` */
  readonly hold?: boolean;
  readonly pidFile?: string;
  /** Path of a Unix socket that takes the terminal's master; needed with `process.terminal`, and only then. */
  readonly consoleSocket?: string;
  /** Of the one-shot process, whose own the container's are. */
  readonly stdio?: ['pipe' | 'ignore' | number, 'pipe' | number, 'pipe' | number];
}

/** How the container has ended, or why it never ran. */
export type BundleEnd =
  | { readonly exitCode: number; readonly signal: null }
  | { readonly exitCode: null; readonly signal: number };

export interface OneShot {
  readonly process: ChildProcess;
  /** Host pid of its process 1, when it waits for its start. Rejects with why it was not made. */
  readonly created: Promise<number>;
  /** Rejects with why it was not started. */
  readonly ended: Promise<BundleEnd>;
  /** Hooks that failed where the spec says to go on. */
  readonly warnings: readonly CaissonError[];
  start(): void;
}

export async function launchBundle(options: BundleOptions): Promise<OneShot> {
  const bundle = resolve(options.bundle);
  const text = await readFile(join(bundle, 'config.json'), 'utf8');
  const request = parseConfig(JSON.parse(text), bundle);
  const host = {
    arch: process.arch,
    release: release(),
    appArmor: readAppArmor(),
    selinux: readSelinux(),
  };
  const body = encodeBundle(request, { id: options.id, bundle }, host);
  const args = ['launch'];
  if (options.hold === true) args.push('--hold');
  if (options.pidFile !== undefined) args.push('--pid-file', resolve(options.pidFile));
  if (options.consoleSocket !== undefined) args.push('--console-socket', options.consoleSocket);
  const stdio: StdioOptions = [...(options.stdio ?? ['ignore', 'pipe', 'pipe'])];
  stdio.push('pipe', 'pipe', 'pipe');
  const child = spawn(loadNative().supervisor, args, { stdio, env: {} });
  (child.stdio[3] as Writable).end(body);
  return follow(child, request, options.id);
}

interface Settled<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Remove for Promise.withResolvers when Node 22 is the floor. */
function settled<T>(): Settled<T> {
  const functions: Partial<Settled<T>> = {};
  const promise = new Promise<T>((resolve, reject) =>
    Object.assign(functions, { resolve, reject }),
  );
  return { ...functions, promise } as Settled<T>;
}

/** Makes sense of the lines that the one-shot process tells. */
function follow(child: ChildProcess, request: BundleRequest, id: string): OneShot {
  const warnings: CaissonError[] = [];
  const created = settled<number>();
  const ended = settled<BundleEnd>();
  // Whoever waits for one of them hears it; nobody has to wait for both.
  created.promise.catch(() => undefined);
  ended.promise.catch(() => undefined);
  const fail = (error: Error): void => {
    created.reject(error);
    ended.reject(error);
  };
  const lines = createInterface({ input: child.stdio[4] as Readable });
  lines.on('line', (line) => {
    const [word = '', ...rest] = line.split(' ');
    const number = Number(rest[0]);
    if (word === 'created') created.resolve(number);
    if (word === 'exited') ended.resolve({ exitCode: number, signal: null });
    if (word === 'signaled') ended.resolve({ exitCode: null, signal: number });
    if (word === 'failed') fail(errorOf(rest, request, id));
    if (word === 'warning') warnings.push(errorOf(rest, request, id));
  });
  child.once('error', fail);
  child.once('close', () => {
    fail(new Error('the one-shot process has ended without a word'));
  });
  const gate = (child.stdio as readonly unknown[])[5] as Writable;
  gate.on('error', () => undefined); // it has ended: `ended` says how
  return {
    process: child,
    created: created.promise,
    ended: ended.promise,
    warnings,
    start: () => gate.write('s'),
  };
}

function errorOf(
  [step = '0', errno = '0', index = '0', ...detail]: string[],
  { spec: { process } }: BundleRequest,
  container: string,
): CaissonError {
  const { name, syscall } = STEPS[Number(step)] ?? STEPS[0];
  const text = detail.join(' ');
  return failureToError(
    {
      step: name,
      syscall,
      errno: Number(errno),
      index: Number(index),
      detail: text === '' ? undefined : text,
    },
    {
      action: 'start the container of a bundle',
      container,
      argv0: process.args[0] ?? '',
      user: `${process.user.uid}:${process.user.gid}`,
      searched: process.env.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? '',
      pathOf: () => (text === '' ? undefined : text),
    },
  );
}
