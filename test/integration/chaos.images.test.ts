import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';
import { Container, Image, Runtime } from '../../lib/index.js';
import { randomNumbers, ROUNDS, SEED } from '../helpers/chaos.js';
import { gnuTar, imageRegistry, onBlobs } from '../helpers/image-registry.js';
import { checkLeaks } from '../helpers/leak.js';
import { busybox, needs } from '../helpers/needs.js';
import { startPrograms } from '../helpers/program.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { test } = needs('registry', 'skopeo', 'busybox');
const folder = fileFolder('chaos-images');
const programs = startPrograms();
const r = imageRegistry(folder);
checkLeaks();

let name = '';

beforeAll(async () => {
  const root = join(folder, 'root');
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync(busybox() ?? '', join(root, 'bin/busybox'));
  const tar = (...what: string[]): Buffer =>
    execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-c', ...what], {
      maxBuffer: 1 << 28,
    });
  // The second leaves out the folder above its entry.
  const layers = [tar('./bin'), tar('bin/busybox'), tar('.')];
  name = r.direct(await r.publish({ layers }));
});

/** Pulls and removes for as long as it lives. */
const SOURCE = `
  const [root, runDir, cgroupParent, name] = process.argv.slice(1);
  const runtime = await caisson.Runtime.open({ root, runDir, cgroupParent });
  console.log('open');
  for (;;) {
    const image = await caisson.Image.pull(name, { runtime });
    await image.remove();
  }`;

/** What must be true of a store whatever its users died of. */
async function checkStore(root: string, runtime: Runtime): Promise<void> {
  const blobs = join(root, 'images/blobs/sha256');
  for (const file of existsSync(blobs) ? readdirSync(blobs) : []) {
    if (file.startsWith('.')) continue;
    const digest = createHash('sha256')
      .update(readFileSync(join(blobs, file)))
      .digest('hex');
    expect(digest).toBe(file);
  }
  // Each image that is listed is whole.
  for (const image of await Image.list({ runtime })) {
    const run = await Container.run(image, ['/bin/busybox', 'echo', 'whole'], { runtime });
    expect(run.stdout).toBe('whole\n');
  }
  // Half a record of a few bytes is nobody's, and is swept later.
  const layers = readdirSync(join(root, 'layers'), { withFileTypes: true });
  expect(layers.filter((one) => one.isDirectory() && one.name.startsWith('.'))).toEqual([]);
}

test('a program that is killed while it pulls or removes leaves nothing half made', async () => {
  const random = randomNumbers(SEED);
  console.log(`seed ${SEED}`);
  const store = await tempStore();
  const { root, runDir, cgroupParent } = store.options;
  try {
    const rounds = Math.max(3, Math.round(ROUNDS / 20));
    for (let round = 0; round < rounds; ++round) {
      const program = programs.start(SOURCE, [root, runDir, cgroupParent, name]);
      const ended = once(program, 'close');
      program.stderr.resume();
      await Promise.race([once(program.stdout, 'data'), ended]);
      await sleep(random() * 700);
      program.kill('SIGKILL');
      await ended;
      // The supervisor undoes what it had begun.
      await expect.poll(() => readdirSync(runDir), { timeout: 5_000 }).toEqual([]);
      const runtime = await Runtime.open({ root, runDir, cgroupParent });
      try {
        await checkStore(root, runtime);
      } finally {
        await runtime.close();
      }
    }
    const runtime = await Runtime.open({ root, runDir, cgroupParent });
    const image = await Image.pull(name, { runtime });
    await image.remove();
    await runtime.images.prune({ dangling: false });
    expect((await runtime.diskUsage()).images).toMatchObject({
      layerBytes: 0,
      blobBytes: 0,
      partialBytes: 0,
    });
    await runtime.close();
  } finally {
    await store.remove();
  }
}, 180_000);

test('programs that pull the same at once download it once', async () => {
  await using store = await tempStore();
  await using runtime = await Runtime.open(store.options);
  const noise = (): Buffer =>
    gnuTar(folder, { noise: randomBytes(200_000).toString('hex') }, 'noise');
  const image = await r.publish({ layers: [noise(), noise()] });
  r.proxy.fault = onBlobs({ kind: 'slow', ms: 300 });
  const program = programs.start(
    `const [options, name] = process.argv.slice(1);
     const runtime = await caisson.Runtime.open(JSON.parse(options));
     process.stdout.write('open ');
     await new Promise((resolve) => process.stdin.once('data', resolve));
     const image = await caisson.Image.pull(name, { runtime });
     process.stdout.write(image.id);
     await runtime.close();
     process.exit();`,
    [JSON.stringify(store.options), image],
  );
  let said = '';
  program.stdout.on('data', (text: Buffer) => (said += text.toString()));
  const ended = once(program, 'close');
  while (!said.includes('open')) await once(program.stdout, 'data');
  const before = r.proxy.seen.length;
  program.stdin.write('\n');
  const { id } = await Image.pull(image, { runtime });
  await ended;
  expect(said).toBe(`open ${id}`);
  const blobs = r.proxy.seen.slice(before).filter(({ line }) => line.includes('/blobs/'));
  // Each program asks for the small configuration itself.
  expect(blobs).toHaveLength(2 + 2);
});
