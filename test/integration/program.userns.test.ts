// Ranges of ids of the machine: each program sees an /etc/subuid of its own, in a mount namespace of its own.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';

import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { ended, startPrograms } from '../helpers/program.js';
import { tempFolder, tempStore, type TempFolder } from '../helpers/temp.js';

const { test } = needs('native', 'root', 'unshare');
checkLeaks();
let folder: TempFolder;
beforeAll(async () => {
  folder = await tempFolder();
});
afterAll(() => folder.remove());
const programs = startPrograms({
  prefix: [
    'unshare',
    '--mount',
    'sh',
    '-ec',
    'mount --bind "$SUBIDS" /etc/subuid; mount --bind "$SUBIDS" /etc/subgid; exec "$@"',
    'sh',
  ],
});

/** Runs a body with `runtime` open, where `containers` has these ids; what it returns. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- whatever the body makes it
async function withIds(ids: string, body: string): Promise<any> {
  const file = join(folder.path, 'subids');
  await writeFile(file, ids);
  process.env['SUBIDS'] = file;
  const store = await tempStore();
  const source = `
    const { Container, Image, Runtime } = caisson;
    const options = JSON.parse(process.argv[1]);
    const image = Image.host();
    const security = { userns: 'auto' };
    const runtime = await Runtime.open(options);
    const start = (more) =>
      Container.start({ image, runtime, argv: ['sleep', 'infinity'], security, ...more });
    const mapOf = async (box) => (await box.exec(['cat', '/proc/self/uid_map'])).stdout.trim().split(/ +/)[1];
    const code = (call) => call.then(() => 'resolved', (error) => error.code);
    const result = await (async () => { ${body} })();
    await runtime.close();
    console.log(JSON.stringify(result));`;
  const { stdout, stderr } = await ended(programs.start(source, [JSON.stringify(store.options)]));
  await store.remove();
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout);
}

const TWO = 'containers:3000000000:131072\n';

test('each container has a range that nobody else has, and leaves it', async () => {
  const told = (await withIds(
    TWO,
    `const one = await start();
    const two = await start();
    const all = [await mapOf(one), await mapOf(two), await code(start())];
    await one.stop({ graceMs: 0 });
    all.push(await code(start()));
    await one.start();
    all.push(await mapOf(one));
    await one.remove({ force: true });
    const { stdout } = await Container.run(image, ['cat', '/proc/self/gid_map'], { runtime, security });
    all.push(stdout.trim().split(/ +/)[1]);
    all.push(await code(start({ user: '70000' })), await mapOf(await start()));
    return all;`,
  )) as string[];
  const [first, second] = ['3000000000', '3000065536'];
  expect(told).toEqual([
    first,
    second,
    'ERR_UNSUPPORTED',
    'ERR_UNSUPPORTED', // it is still there, and so is what it wrote
    first,
    first,
    'ERR_UNSUPPORTED',
    first,
  ]);
});

test('of another program and another store likewise; what a dead one had is free', async () => {
  const store = await tempStore();
  process.env['SUBIDS'] = join(folder.path, 'subids');
  await writeFile(process.env['SUBIDS'], TWO);
  const other = programs.start(
    `const { Container, Image, Runtime } = caisson;
    const runtime = await Runtime.open(JSON.parse(process.argv[1]));
    const security = { userns: 'auto' };
    await Container.start({ runtime, image: Image.host(), argv: ['sleep', 'infinity'], security });
    process.stdout.write('started');
    setInterval(() => undefined, 1000);`,
    [JSON.stringify(store.options)],
  );
  await new Promise((started) => other.stdout.once('data', started));
  expect(await withIds(TWO, 'return [await mapOf(await start()), await code(start())];')).toEqual([
    '3000065536',
    'ERR_UNSUPPORTED',
  ]);
  other.kill('SIGKILL');
  await new Promise((gone) => other.once('close', gone));
  await new Promise((undone) => setTimeout(undone, 1000));
  expect(await withIds(TWO, 'return await mapOf(await start());')).toBe('3000000000');
  await store.remove();
});

test('without any it is refused', async () => {
  expect(await withIds('others:1:65536\n', 'return await code(start());')).toBe('ERR_UNSUPPORTED');
});
