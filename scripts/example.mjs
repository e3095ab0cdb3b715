// npm run example [NAME]: runs examples/NAME.mjs against dist/; without a name says which there are.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const examples = join(dirname(dirname(fileURLToPath(import.meta.url))), 'examples');
const [name, ...args] = process.argv.slice(2);
const file = join(examples, `${name}.mjs`);
if (name !== undefined && existsSync(file)) {
  process.exitCode = spawnSync(process.execPath, [file, ...args], { stdio: 'inherit' }).status ?? 1;
} else {
  const names = readdirSync(examples).flatMap((entry) => /^(.+)\.mjs$/.exec(entry)?.[1] ?? []);
  console.error(`npm run example NAME, where NAME is one of: ${names.join(', ')}`);
  process.exitCode = 2;
}
