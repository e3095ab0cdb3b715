// lib/ → dist/: declarations by tsc, one file a module that a program can get to; the code bundled,
// since reading a hundred small modules costs more than all that the package does at import (90 ms of
// CPU time against 25). What is imported lazily stays in files of its own. dist/ is emptied first: what
// was deleted from lib/ must not stay in the package.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const modules = join(root, 'build', 'js');

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const compile = (...args) =>
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', ...args], {
    cwd: root,
    stdio: 'inherit',
  });

for (const folder of [dist, modules]) rmSync(folder, { recursive: true, force: true });
compile('--outDir', modules, '--declarationDir', dist);

/** Adds `file` and the declarations that it leads to. @param {string} file @param {Set<string>} found */
function reach(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, path] of readFileSync(file, 'utf8').matchAll(
    /(?:from|import\()\s*'(\.[^']+)\.js'/g,
  )) {
    reach(join(dirname(file), `${path}.d.ts`), found);
  }
  return found;
}

const declared = reach(join(dist, 'index.d.ts'));
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  if (entry.isFile() && !declared.has(path)) rmSync(path);
}

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const bundle = await rolldown({
  input: { index: join(modules, 'index.js'), 'cli/main': join(modules, 'cli', 'main.js') },
  platform: 'node',
  external: [/^node:/, ...Object.keys(dependencies)],
});
// What is documented stands in the declarations.
const comments = { jsdoc: false };
await bundle.write({ dir: dist, format: 'esm', chunkFileNames: 'parts/[name].js', comments });
await bundle.close();
