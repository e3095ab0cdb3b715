// From a fresh clone to something that runs: packages, compiler, native part, dist/. Plain Node
// without packages, since there are none yet. Does only what is not done already.
//
//   node scripts/setup.mjs            sets up
//   node scripts/setup.mjs start      … and runs examples/hello.mjs      (npm start)
//   node scripts/setup.mjs test       … and runs every test this user can (npm test)
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildNative } from './native.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = (...parts) => join(root, ...parts);

/** The development tools ask for a little more than the package itself. */
function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Building caisson needs Node 20.19 or newer; this is ${process.version}.`);
  }
}

function installPackages() {
  const installed = path('node_modules', '.package-lock.json');
  const lock = path('package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  run('npm', ['ci', '--no-audit', '--no-fund']);
}

function newest(folder) {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return Math.max(...entries.map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs));
}

function buildTypeScript() {
  const built = path('dist', 'index.js');
  const config = statSync(path('tsconfig.build.json')).mtimeMs;
  if (existsSync(built) && statSync(built).mtimeMs > Math.max(newest(path('lib')), config)) return;
  run(process.execPath, [path('scripts', 'build-ts.mjs')]);
}

function run(command, args) {
  execFileSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
}

function main(what) {
  checkNode();
  installPackages();
  buildNative({ ifNeeded: true, tests: what === 'test' });
  buildTypeScript();
  const next = {
    start: [path('examples', 'hello.mjs')],
    test: [path('scripts', 'test.mjs'), ...process.argv.slice(3)],
  }[what];
  if (next === undefined) return 0;
  return spawnSync(process.execPath, next, { cwd: root, stdio: 'inherit' }).status ?? 1;
}

try {
  process.exitCode = main(process.argv[2]);
} catch (error) {
  // A program that ran has said itself what is wrong.
  if (error.status === undefined) console.error(error.message);
  process.exitCode = 1;
}
