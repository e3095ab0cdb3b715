// Builds the native part: caisson.node and caisson-supervisor. In the repository for `npm run build`,
// in an installed package for `npx caisson build`. Plain Node: what it needs from npm is looked for
// here first and fetched into build/tools otherwise.
//
//   node scripts/native.mjs [--with cmake|gyp] [--asan] [--tests] [--target NAME] [--if-needed]
//
// `allCodecs`: for others, so that a codec that is missing here is an error (cmake only).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { ensureTools } from './toolchain.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const JOBS = '2';

/** Where each build puts its two files; the loader (lib/native/load.ts) looks in the first two. */
export const OUTPUT = {
  cmake: join(root, 'build', 'cmake', 'Release'),
  gyp: join(root, 'build', 'Release'),
  asan: join(root, 'build', 'asan', 'Release'),
};
export const FILES = ['caisson.node', 'caisson-supervisor'];

function run(script, args, env) {
  execFileSync(process.execPath, [script, ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env,
  });
}

/** The build tools' package.json to resolve from: the repository's own, or build/tools. */
function findBuildTools(build) {
  const wanted = build === 'cmake' ? 'cmake-js' : 'node-gyp';
  const own = join(root, 'package.json');
  const fetched = join(root, 'build', 'tools', 'package.json');
  for (const from of [own, fetched]) {
    try {
      const require = createRequire(from);
      require.resolve('node-api-headers');
      require.resolve(`${wanted}/package.json`);
      return from;
    } catch {
      // The next place.
    }
  }
  const { buildTools } = JSON.parse(readFileSync(own, 'utf8')).caisson;
  const packages = ['node-api-headers', wanted].map((name) => `${name}@${buildTools[name]}`);
  console.log(`Fetching ${packages.join(' and ')}`);
  mkdirSync(dirname(fetched), { recursive: true });
  writeFileSync(fetched, '{ "private": true }\n');
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...packages], {
    cwd: dirname(fetched),
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return fetched;
}

/** The newest change of a file or of anything below a folder. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function upToDate(folder) {
  const outputs = FILES.map((name) => join(folder, name));
  if (!outputs.every((path) => existsSync(path))) return false;
  const made = Math.min(...outputs.map((path) => statSync(path).mtimeMs));
  const inputs = ['addon', 'CMakeLists.txt', 'binding.gyp'].map((name) => join(root, name));
  return inputs.every((path) => newest(path) < made);
}

/** Builds with what this machine has; throws with what to type when it lacks something. */
export function buildNative({
  with: asked,
  asan = false,
  tests = false,
  target,
  ifNeeded = false,
  allCodecs = false,
}) {
  if (ifNeeded && !tests && (upToDate(OUTPUT.cmake) || upToDate(OUTPUT.gyp))) return;
  const tools = ensureTools();
  const build = asan || tests ? 'cmake' : (asked ?? tools.build);
  const from = findBuildTools(build);
  const require = createRequire(from);
  const env = { ...process.env, CXX: tools.compiler, CAISSON_BUILD_TOOLS: from };
  if (build === 'gyp') {
    // node-gyp takes npm's settings for its own, before what it is told: a `nodedir` there would bring
    // the headers and flags of that Node.
    for (const name of Object.keys(env)) if (/^npm_config_/i.test(name)) delete env[name];
    const gyp = require.resolve('node-gyp/bin/node-gyp.js');
    const nodedir = join(root, 'addon', 'gyp');
    run(gyp, ['configure', `--nodedir=${nodedir}`, '--force-process-config'], env);
    run(gyp, ['build', '--jobs', JOBS, ...(target === undefined ? [] : [target])], env);
    return;
  }
  const options = [
    `--CDCAISSON_SANITIZE=${asan ? 'ON' : 'OFF'}`,
    `--CDCAISSON_TESTS=${tests ? 'ON' : 'OFF'}`,
    `--CDCAISSON_WERROR=${process.env.CI ? 'ON' : 'OFF'}`,
    `--CDCAISSON_ALL_CODECS=${allCodecs ? 'ON' : 'OFF'}`,
  ];
  const out = dirname(asan ? OUTPUT.asan : OUTPUT.cmake);
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
  run(cmakeJs, ['configure', '-d', root, '-O', out, ...options], env);
  const extra = target === undefined ? [] : ['-T', target];
  run(cmakeJs, ['build', '-d', root, '-O', out, '-p', JOBS, ...extra], env);
}

function main() {
  const { values } = parseArgs({
    options: {
      with: { type: 'string' },
      asan: { type: 'boolean' },
      tests: { type: 'boolean' },
      target: { type: 'string' },
      'if-needed': { type: 'boolean' },
    },
  });
  if (values.with !== undefined && values.with !== 'cmake' && values.with !== 'gyp') {
    throw new Error('--with takes cmake or gyp');
  }
  buildNative({ ...values, ifNeeded: values['if-needed'] });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    // A compiler or cmake has said itself what is wrong.
    if (error.status === undefined) console.error(error.message);
    process.exitCode = 1;
  }
}
