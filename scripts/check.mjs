// npm run check: everything that can be said of the sources without running them. Each step is a
// command of its own; all run, and the first lines of what failed are at the end.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = (name) => join(root, 'node_modules', '.bin', name);

/** Files that git knows or would add, so that what is built is left out. */
function sources(...patterns) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z', '--', ...patterns];
  const names = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0');
  const deleted = execFileSync('git', ['ls-files', '--deleted', '-z'], {
    cwd: root,
    encoding: 'utf8',
  });
  const gone = new Set(deleted.split('\0'));
  return names.filter((name) => name !== '' && !gone.has(name));
}

function command(path, ...args) {
  const { status, stdout, stderr, error } = spawnSync(path, args, { cwd: root, encoding: 'utf8' });
  if (error !== undefined) return error.message;
  return status === 0 ? '' : `${stdout}${stderr}` || `exit status ${status}`;
}

/** The zones of addon/ (addon/README.md): which they are, and who may see Node-API. */
function zones() {
  const wrong = [];
  for (const file of sources('addon/**/*.cc', 'addon/**/*.h')) {
    const text = readFileSync(join(root, file), 'utf8');
    if (!/^\/\/ zone: (loop|native|child|init)/.test(text))
      wrong.push(`${file}: no zone in its first line`);
    const binding = file.startsWith('addon/binding/');
    if (!binding && /#include ["<](napi|node_api|uv)\.h|#include "binding\//.test(text)) {
      wrong.push(`${file}: only addon/binding/ may include Node-API or the binding`);
    }
    if (binding && /#include "(supervisor|launch|child|sys)\//.test(text)) {
      wrong.push(`${file}: the binding sees base/ and plan/ only`);
    }
  }
  return wrong.join('\n');
}

function clangFormat() {
  const names = ['clang-format-19', 'clang-format'];
  const found = names.find((name) => spawnSync(name, ['--version']).status === 0);
  if (found === undefined) return process.env.REQUIRE_ALL ? 'clang-format is missing' : null;
  const files = sources('addon/**/*.cc', 'addon/**/*.h', 'test/**/*.cc', 'test/**/*.h');
  const output = command(found, '--dry-run', '-Werror', ...files);
  const wrong = new Set(
    [...output.matchAll(/^([^:\n]+):\d+:\d+: error/gm)].map((match) => match[1]),
  );
  return wrong.size > 0 ? `${found} -i ${[...wrong].join(' ')}` : output;
}

const STEPS = {
  types: () => command(bin('tsc'), '--noEmit'),
  lint: () => command(bin('eslint'), '.'),
  format: () => command(bin('prettier'), '--check', '.'),
  'format (C++)': clangFormat,
  zones,
  sources: () => command(process.execPath, 'scripts/sources.mjs', 'check'),
  symbols: () => command(join(root, 'scripts', 'check-symbols')),
};

const asked = process.argv.slice(2);
const failures = [];
for (const [name, step] of Object.entries(STEPS)) {
  if (asked.length > 0 && !asked.some((word) => name.startsWith(word))) continue;
  const output = step();
  console.log(`${output === null ? '↓' : output === '' ? '✓' : '✗'} ${name}`);
  if (output) failures.push(`--- ${name}\n${output.split('\n').slice(0, 60).join('\n')}`);
}
if (failures.length > 0) {
  console.error(failures.join('\n'));
  process.exitCode = 1;
}
