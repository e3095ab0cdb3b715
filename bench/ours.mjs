// The library as a subject: child.mjs in a process of its own, asked line by line.

import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

import { BENCH, start, Unavailable } from './machine.mjs';

export const ENTRY = join(BENCH, '../dist/index.js');

/** The user `nobody`: an ordinary user that every machine has. */
export const ORDINARY_USER = 65534;

export class Ours {
  #child;
  #answers;

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child;
    this.#answers = createInterface({ input: /** @type {any} */ (child.stdout) })[
      Symbol.asyncIterator
    ]();
  }

  /**
   * @param {import('./machine.mjs').Machine} machine
   * @param {import('./machine.mjs').Undo} undo
   * @param {{ uid?: number, name: string, script?: string, prefix?: string[] }} options  `prefix`: of its command
   */
  static start(machine, undo, { uid, name, script = 'child.mjs', prefix = [] }) {
    if (!existsSync(ENTRY)) throw new Unavailable('dist/ is missing: npm run build');
    if (uid !== undefined && !isReachable(BENCH)) {
      throw new Unavailable('an ordinary user may not read the folder of this package');
    }
    const folder = join(machine.folder, name);
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    if (uid !== undefined) chownSync(folder, uid, uid);
    const what = script === 'child.mjs' ? [folder, machine.image] : [folder];
    const program = [process.execPath, '--expose-gc', join(BENCH, script), ...what];
    const [file = '', ...args] = [...prefix, ...program, pathToFileURL(ENTRY).href];
    const child = start(file, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: '/',
      env: { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder, NODE_ENV: 'production' },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const ours = new Ours(child);
    undo.push(async () => {
      child.stdin?.end();
      await ended;
      // A folder of an overlay's work directory is closed to everybody.
      rmSync(folder, { recursive: true, force: true });
    });
    return ours;
  }

  /**
   * @param {string} op
   * @param {Record<string, unknown>} [request]
   * @returns {Promise<any>}
   */
  async ask(op, request = {}) {
    this.#child.stdin?.write(`${JSON.stringify({ op, ...request })}\n`);
    const { value, done } = await this.#answers.next();
    if (done)
      throw new Unavailable(
        `the process ended (${this.#child.signalCode ?? this.#child.exitCode})`,
      );
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new Unavailable(answer.error);
    return answer.value;
  }

  get pid() {
    return this.#child.pid ?? 0;
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

/** Whether everybody may enter every folder of a path. @param {string} path */
function isReachable(path) {
  for (let at = path; at !== '/'; at = join(at, '..')) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
  }
  return true;
}

/** Whether an ordinary user may make user namespaces here; the reason if not. */
export function rootlessObstacle() {
  for (const [file, bad] of [
    ['/proc/sys/kernel/unprivileged_userns_clone', '0'],
    ['/proc/sys/user/max_user_namespaces', '0'],
    ['/proc/sys/kernel/apparmor_restrict_unprivileged_userns', '1'],
  ]) {
    if (existsSync(file) && readFileSync(file, 'utf8').trim() === bad) return `${file} is ${bad}`;
  }
  return undefined;
}
