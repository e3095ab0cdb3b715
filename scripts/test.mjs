// Every test that this user can run: what needs more (root, a feature of the kernel) is skipped by
// name, or fails with REQUIRE_ALL=1. Arguments go to vitest: `npm test -- test/unit/native`.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const vitest = join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
const args = process.argv.slice(2);

function run(...command) {
  return spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' }).status ?? 1;
}

const statuses = [run(vitest, 'run', ...args)];
if (args.length === 0) statuses.push(run(join(root, 'scripts', 'test-native.mjs')));
process.exitCode = statuses.find((status) => status !== 0) ?? 0;
