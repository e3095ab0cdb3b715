import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect } from 'vitest';
import { Container, Image, Runtime } from '../../lib/index.js';
import { randomNumbers, ROUNDS, SEED } from '../helpers/chaos.js';
import { imageRegistry } from '../helpers/image-registry.js';
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
  const layers = readdirSync(join(root, 'layers'));
  expect(layers.filter((file) => file.startsWith('.'))).toEqual([]);
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
