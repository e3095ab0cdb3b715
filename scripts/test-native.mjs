// The tests of the native part: every test/native/**/*_test.cc is a program that exits with 0 when all
// is well, every *_test.py one that speaks to the supervisor (where there is python3). 77 means
// skipped, with the reason as its last line. With --sanitize the C++ ones and the supervisor are built
// with the address and undefined-behaviour sanitizers, and the tests of the binding run on top of such
// an addon.
//
//   npm run test:native [-- [--sanitize] [PART-OF-A-NAME …]]
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { OUTPUT, buildNative } from './native.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SKIPPED = 77;
const LIMIT_MS = 300_000;

const { values, positionals } = parseArgs({
  options: { sanitize: { type: 'boolean' } },
  allowPositionals: true,
});
const built = values.sanitize ? OUTPUT.asan : OUTPUT.cmake;
const totals = { passed: 0, failed: 0, skipped: 0 };

const isWanted = (name) =>
  positionals.length === 0 || positionals.some((part) => name.includes(part));

function runProgram(name, path, ...args) {
  const { status, signal, stdout, stderr } = spawnSync(path, args, {
    cwd: root, // they find their files from there
    encoding: 'utf8',
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
    env: {
      ...process.env,
      CAISSON_SUPERVISOR: join(built, 'caisson-supervisor'),
      // A sanitizer says on stderr what it has found: it must be one.
      ...(values.sanitize ? { CAISSON_SANITIZED: '1', CAISSON_DEBUG: '1' } : {}),
    },
  });
  const output = `${stdout}${stderr}`.trimEnd();
  if (status === 0) {
    totals.passed += 1;
    console.log(`✓ ${name}`);
  } else if (status === SKIPPED && !process.env.REQUIRE_ALL) {
    totals.skipped += 1;
    console.log(`↓ ${name}: ${output.split('\n').at(-1)}`);
  } else {
    totals.failed += 1;
    console.log(`✗ ${name}: ${signal ?? `exit status ${status}`}\n${output}`);
  }
}

/** The binding's tests with a sanitized addon: its runtime must be loaded before Node's own code. */
function runBindingTests() {
  const compiler = process.env.CXX ?? 'c++';
  const libraries = ['libasan.so', 'libubsan.so', 'libstdc++.so'].map((name) =>
    execFileSync(compiler, [`-print-file-name=${name}`], { encoding: 'utf8' }).trim(),
  );
  const vitest = join(
    dirname(createRequire(import.meta.url).resolve('vitest/package.json')),
    'vitest.mjs',
  );
  const { status } = spawnSync(process.execPath, [vitest, 'run', 'test/integration/native.'], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      LD_PRELOAD: libraries.join(':'),
      // Node and V8 keep what they need until the end of the process; leaks of ours are looked for
      // by the tests themselves, as growth.
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
      CAISSON_NATIVE_DIR: OUTPUT.asan,
    },
  });
  if (status !== 0) totals.failed += 1;
}

buildNative({ asan: values.sanitize, tests: true });
const folder = join(built, 'tests');
for (const name of existsSync(folder) ? readdirSync(folder).sort() : []) {
  if (name.endsWith('_test') && isWanted(name)) runProgram(name, join(folder, name));
}
const python = spawnSync('python3', ['--version']).status === 0;
for (const entry of readdirSync(join(root, 'test', 'native'), { recursive: true }).sort()) {
  if (!entry.endsWith('_test.py') || !isWanted(entry)) continue;
  if (python) runProgram(entry, 'python3', join(root, 'test', 'native', entry));
  else runProgram(entry, 'sh', '-c', `echo needs python3; exit ${SKIPPED}`);
}
if (values.sanitize && positionals.length === 0) runBindingTests();
console.log(
  `${totals.passed} passed, ${totals.failed} failed` +
    (totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''),
);
process.exitCode = totals.failed > 0 ? 1 : 0;
