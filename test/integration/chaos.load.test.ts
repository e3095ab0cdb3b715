import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { randomNumbers, ROUNDS, SEED } from '../helpers/chaos.js';
import { output, umociLayout } from '../helpers/image-tools.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { nothingOf, second } from '../helpers/patience.js';
import { startPrograms } from '../helpers/program.js';
import { tempFolder, tempStore, type TempFolder, type TempStore } from '../helpers/temp.js';

const { test } = needs('native', 'userns', 'busybox', 'umoci', 'skopeo');
const programs = startPrograms();
const rounds = Math.ceil(ROUNDS / 10);
const NAME = 'example.com/app:1';
let folder: TempFolder;
let archive: string;
checkLeaks();

beforeAll(async () => {
  folder = await tempFolder();
  archive = join(folder.path, 'archive.tar');
  const layout = await umociLayout(folder.path);
  await output('skopeo', 'copy', '-q', `oci:${layout}:base`, `oci-archive:${archive}:${NAME}`);
});
afterAll(() => folder.remove());

/** Loads, saves and removes without end; says when it begins. */
const RESTLESS = `
  const { Image, Runtime } = caisson;
  const { createReadStream } = await import('node:fs');
  const { options, archive } = JSON.parse(process.argv[1]);
  const runtime = await Runtime.open(options);
  process.stdout.write('open');
  for (let i = 0; ; i++) {
    const [image] = await Image.load(i % 2 === 0 ? archive : createReadStream(archive), { runtime });
    if (i % 3 === 0) for await (const _ of image.save()) break;
    if (i % 3 !== 1) await image.remove({ force: true });
  }`;

test(`a program killed at ${rounds} moments of loading leaves whole images, or none (CHAOS_SEED=${SEED})`, async () => {
  const random = randomNumbers(SEED);
  await using store = await tempStore();
  const longest = 4 * (await timeOfLoad(store));
  let found = 0;
  for (let round = 0; round < rounds; round++) {
    await killedOnce(store, random() ** 2 * longest);
    found += await expectWhole(store);
  }
  // Either is there now and then, or the moments are badly chosen.
  expect(found).toBeGreaterThan(0);
}, 600_000);

/** How many milliseconds the machine takes for one now. */
async function timeOfLoad({ options }: TempStore): Promise<number> {
  await using runtime = await Runtime.open(options);
  const began = performance.now();
  const [image] = await Image.load(archive, { runtime });
  const took = performance.now() - began;
  await image?.remove({ force: true });
  return took;
}

async function killedOnce({ options }: TempStore, ms: number): Promise<void> {
  const program = programs.start(RESTLESS, [JSON.stringify({ options, archive })]);
  let errors = '';
  program.stderr.on('data', (text: Buffer) => (errors += text.toString()));
  const closed = once(program, 'close');
  await Promise.race([once(program.stdout, 'data'), closed]);
  await sleep(ms);
  program.kill('SIGKILL');
  await closed;
  expect(errors).toBe('');
}

/** How many images there are: each runs, and each blob of it is what its digest says. */
async function expectWhole(store: TempStore): Promise<number> {
  await using runtime = await Runtime.open(store.options);
  const images = await runtime.images.list();
  for (const image of images) {
    const { stdout } = await Container.run(image, ['/bin/busybox', 'cat', '/second'], { runtime });
    expect(stdout).toBe('second\n');
    await image.save().toArray();
  }
  // Half a record of a few bytes is nobody's, and goes within the hour; a layer goes at once.
  const layers = (): string[] =>
    readdirSync(join(store.root, 'layers'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name.startsWith('.'))
      .map(({ name }) => name);
  await nothingOf(layers, 5 * second());
  return images.length;
}
