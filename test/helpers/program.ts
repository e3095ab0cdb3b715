import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import ts from 'typescript';
import { afterAll, beforeAll } from 'vitest';

import { nativeFile, repository } from './native.js';
import { tempFolder, type TempFolder } from './temp.js';

export interface Program {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  /** What the program is started behind, such as asUser([]). */
  readonly prefix?: readonly string[];
}

/**
 * Programs of their own that use the library as it stands in lib/: what a process does at its end cannot
 * be tested inside one that goes on. Registers hooks, so call it at the top of a file; `source` is an ES
 * module that finds everything the package exports as `caisson`, and where that lies in `LIBRARY`.
 */
export function programs(
  options: ProgramOptions = {},
): (source: string, ...args: string[]) => Promise<Program> {
  const started = startPrograms(options);
  return (source, ...args) => ended(started.start(source, args));
}

/** The same, for those who want to hold the running program, and to know where the library lies. */
export function startPrograms({ prefix = [] }: ProgramOptions = {}): {
  readonly library: string;
  start(source: string, args?: readonly string[]): ChildProcessWithoutNullStreams;
} {
  let folder: TempFolder;
  beforeAll(async () => {
    folder = await tempFolder();
    await transpile(join(repository, 'lib'), join(folder.path, 'lib'));
    await writeFile(join(folder.path, 'package.json'), '{"type":"module"}');
    await symlink(join(repository, 'node_modules'), join(folder.path, 'node_modules'));
  }, 60_000);
  afterAll(() => folder.remove());
  return {
    get library() {
      return join(folder.path, 'lib/index.js');
    },
    start(source, args = []) {
      const script = `import * as caisson from ${JSON.stringify(this.library)};\n${source}`;
      const native = nativeFile('caisson.node');
      const env = {
        ...process.env,
        CAISSON_NATIVE_DIR: native === null ? '' : dirname(native),
        LIBRARY: this.library,
      };
      const node = [process.execPath, '--input-type=module', '-e', script, '--', ...args];
      const [file = '', ...argv] = [...prefix, ...node];
      return spawn(file, argv, {
        env,
        timeout: 20_000,
        killSignal: 'SIGKILL',
      });
    },
  };
}

/** How it went, when it has ended; it is given no input. */
export async function ended(child: ChildProcessWithoutNullStreams): Promise<Program> {
  child.stdin.end();
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  return { exitCode: child.exitCode, signal: child.signalCode, stdout, stderr };
}

/** Types only have to be taken out. */
async function transpile(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
  };
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    if (entry.isDirectory()) {
      await transpile(source, join(to, entry.name));
    } else if (entry.name.endsWith('.ts')) {
      const text = await readFile(source, 'utf8');
      const { outputText } = ts.transpileModule(text, { compilerOptions });
      await writeFile(join(to, entry.name.replace(/\.ts$/, '.js')), outputText);
    }
  }
}
