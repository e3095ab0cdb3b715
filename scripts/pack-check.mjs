// Packs the package, installs it in an empty folder as a user would, and looks at what came: files,
// modes, size, types, import, the README's example. `--build` also compiles it there from source.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MOST_TARBALL_BYTES = 2_000_000;
const MOST_IMPORT_MS = 60;
const PLATFORM = `linux-${process.arch}`;

const NEEDED = [
  'package.json',
  'README.md',
  'LICENSE',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  `prebuilds/${PLATFORM}/caisson.node`,
  `prebuilds/${PLATFORM}/caisson-supervisor`,
  'addon/sources.txt',
  'addon/CMakeLists.txt',
  'addon/gyp/include/node/common.gypi',
  'CMakeLists.txt',
  'binding.gyp',
  'scripts/native.mjs',
];
const ALLOWED =
  /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|CMakeLists\.txt|binding\.gyp|dist\/.+\.(js|d\.ts)|prebuilds\/.+|addon\/.+|scripts\/(native|sources|toolchain)\.mjs)$/;

let failed = 0;
let passed = 0;

function check(what, test) {
  try {
    const detail = test();
    passed += 1;
    console.log(`✓ ${what}${typeof detail === 'string' ? ` (${detail})` : ''}`);
  } catch (error) {
    failed += 1;
    const output = [error.stdout, error.stderr].filter(Boolean).join('\n');
    console.log(`✗ ${what}: ${error.message}\n${output}`);
  }
}

function assert(condition, message) {
  if (!condition) throw new Error(message);
}

function run(command, args, cwd, env = {}) {
  return execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    maxBuffer: 1 << 26,
  });
}

function filesBelow(folder, prefix = '') {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = join(prefix, entry.name);
    return entry.isDirectory() ? filesBelow(folder, path) : [path];
  });
}

/** The first fenced JavaScript of the README: what a new user copies. */
function readmeExample() {
  const found = /^```js\n([\s\S]+?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8'));
  assert(found !== null, 'README.md has no example');
  return found[1];
}

const tool = (name, file) => join(root, 'node_modules', name, file);

const work = mkdtempSync(join(tmpdir(), 'caisson-pack-'));
try {
  run('npm', ['pack', '--silent', '--pack-destination', work], root);
  const tarball = join(
    work,
    readdirSync(work).find((name) => name.endsWith('.tgz')),
  );
  writeFileSync(join(work, 'package.json'), '{ "private": true, "type": "module" }\n');

  check('installs without scripts, as npm does by default nowadays', () => {
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball], work);
  });
  const installed = join(work, 'node_modules', 'caisson');
  const files = filesBelow(installed);
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));

  check('holds what it must and nothing else', () => {
    const absent = NEEDED.filter((file) => !files.includes(file));
    const foreign = files.filter((file) => !ALLOWED.test(file));
    assert(absent.length === 0, `not there: ${absent.join(', ')}`);
    assert(foreign.length === 0, `not wanted: ${foreign.join(', ')}`);
    return `${files.length} files`;
  });
  check('has no install script, and npm is told not to make one', () => {
    const scripts = ['preinstall', 'install', 'postinstall'].filter(
      (name) => manifest.scripts?.[name],
    );
    assert(scripts.length === 0, scripts.join());
    assert(manifest.gypfile === false, 'gypfile must be false');
  });
  check(`is less than ${MOST_TARBALL_BYTES / 1e6} MB to download`, () => {
    const bytes = files.reduce((sum, file) => sum + statSync(join(installed, file)).size, 0);
    const packed = statSync(tarball).size;
    assert(packed < MOST_TARBALL_BYTES, `${packed} bytes`);
    return `${(packed / 1e6).toFixed(2)} MB; ${(bytes / 1e6).toFixed(2)} MB installed`;
  });
  check('the supervisor came executable', () => {
    const { mode } = statSync(join(installed, `prebuilds/${PLATFORM}/caisson-supervisor`));
    assert((mode & 0o111) === 0o111, mode.toString(8));
  });
  check(`imports in less than ${MOST_IMPORT_MS} ms`, () => {
    const script =
      'const t = performance.now(); await import("caisson"); console.log(performance.now() - t)';
    const times = Array.from({ length: 9 }, () =>
      Number(run(process.execPath, ['--input-type=module', '-e', script], work)),
    ).sort((a, b) => a - b);
    // The best: the machine may be busy with something else.
    assert(times[0] < MOST_IMPORT_MS, `${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
    return `${times[0].toFixed(0)} ms`;
  });
  check('can be required where Node can require modules', () => {
    if (!process.features.require_module) return 'this Node cannot';
    const script = 'console.log(typeof require("caisson").Container.run)';
    const type = run(process.execPath, ['--input-type=commonjs', '-e', script], work).trim();
    assert(type === 'function', type);
  });
  check('the command answers', () => {
    const version = run(join(work, 'node_modules', '.bin', 'caisson'), ['--version'], work).trim();
    assert(version === manifest.version, version);
  });
  check("runs the README's example", () => {
    writeFileSync(join(work, 'example.mjs'), readmeExample());
    const output = run(process.execPath, ['example.mjs'], work);
    assert(output.includes("[ 'mine', 'pid 1', 'lo' ]") && output.includes('STREAMED'), output);
  });
  if (process.argv.includes('--build')) {
    check('builds from source, and the result is loaded', () => {
      run(join(work, 'node_modules', '.bin', 'caisson'), ['build'], work);
      rmSync(join(installed, 'prebuilds'), { recursive: true });
      run(process.execPath, ['example.mjs'], work);
    });
  }
  check('publint', () => {
    run(process.execPath, [tool('publint', 'src/cli.js'), installed, '--strict'], root);
  });
  check('the types are right for those who import (attw)', () => {
    const attw = tool('@arethetypeswrong/cli', 'dist/index.js');
    run(process.execPath, [attw, tarball, '--profile', 'esm-only'], root);
  });
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
