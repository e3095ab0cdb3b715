import { chmod, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { parseItems, type HostItem } from '../../lib/host/check.js';
import { finished } from './as-user.js';
import { compileDeny } from './deny.js';
import { nativeFile } from './native.js';
import { tempFolder, type TempFolder } from './temp.js';

export interface Where {
  mode?: 'root' | 'rootless';
  root?: string;
  runDir?: string;
}

/** Runs the supervisor's check behind other commands that take something of the host away. */
export class CheckBench {
  /** A copy that an ordinary user can reach, wherever the repository lies. */
  readonly supervisor: string;
  /** See compileDeny(). */
  readonly deny: string;
  readonly root: string;
  readonly runDir: string;
  readonly folder: TempFolder;
  readonly #mode: 'root' | 'rootless';

  constructor(folder: TempFolder, mode: 'root' | 'rootless') {
    this.folder = folder;
    this.#mode = mode;
    this.supervisor = join(folder.path, 'caisson-supervisor');
    this.deny = join(folder.path, 'deny');
    this.root = join(folder.path, 'store');
    this.runDir = join(folder.path, 'run');
  }

  static async make(mode: 'root' | 'rootless'): Promise<CheckBench> {
    const built = nativeFile('caisson-supervisor');
    if (built === null) throw new Error('npm run build first');
    const bench = new CheckBench(await tempFolder(), mode);
    await compileDeny(bench.folder.path);
    await copyFile(built, bench.supervisor);
    await chmod(bench.supervisor, 0o755);
    return bench;
  }

  /** The items by id, of a check started as `prefix… caisson-supervisor check …`. */
  async items(prefix: string[], where: Where = {}): Promise<Map<string, HostItem>> {
    const { root = this.root, runDir = this.runDir, mode = this.#mode } = where;
    const check = [this.supervisor, 'check', '--root', root, '--run', runDir, '--mode', mode];
    const { stdout, stderr, exitCode } = await finished([...prefix, ...check]);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    const items = parseItems(stdout, { supervisor: this.supervisor, root, runDir });
    expect(items.length).toBe(stdout.trimEnd().split('\n').length);
    return new Map(items.map((item) => [item.id, item]));
  }
}

/** A prefix: a shell line that ends in the check, in new namespaces. */
export function shell(line: string, ...unshare: string[]): string[] {
  return ['unshare', ...unshare, 'sh', '-ec', `${line}; exec "$@"`, 'sh'];
}

export function inMounts(line: string): string[] {
  return shell(line, '--mount');
}

export function failing(found: ReadonlyMap<string, HostItem>): string[] {
  return [...found.values()].filter((item) => item.level === 'fail').map((item) => item.id);
}
