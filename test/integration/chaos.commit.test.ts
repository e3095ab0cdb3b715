import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { randomNumbers, ROUNDS, SEED } from '../helpers/chaos.js';
import { checkLeaks } from '../helpers/leak.js';
import { limitable } from '../helpers/limitable.js';
import { needs } from '../helpers/needs.js';
import { startPrograms } from '../helpers/program.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { test } = needs('native', 'userns', 'busybox');
const folder = fileFolder('chaos-commit');
const programs = startPrograms();
const rounds = Math.max(4, Math.round(ROUNDS / 75));
checkLeaks();

/** Commits, exports and imports without end; says when it begins. */
const RESTLESS = `
  const { Container, Image, Runtime } = caisson;
  const { options, rootfs, pause } = JSON.parse(process.argv[1]);
  const runtime = await Runtime.open(options);
  const image = await Image.fromRootfs(rootfs, { Cmd: ['/bin/sleep', 'infinity'] }, { runtime });
  const box = await Container.start({ image, runtime });
  process.stdout.write('open');
  for (let i = 0; ; i++) {
    await box.exec(['sh', '-c', 'rm -rf /root /m; mkdir -p /m; for i in 1 2 3 4 5; do echo $i > /m/$i; done']);
    const one = await box.commit({ reference: 'it:' + (i % 3), pause });
    const other = await Image.fromRootfs(box.export(), { Cmd: ['x'] }, { runtime });
    await other.remove();
    if (i % 2 === 0) await one.remove();
  }`;

test(`a program killed at ${rounds} moments of committing leaves whole images, or none (CHAOS_SEED=${SEED})`, async () => {
  const random = randomNumbers(SEED);
  await using store = await tempStore();
  const rootfs = await busyboxRootfs(join(folder, 'rootfs'));
  const given = { options: store.options, rootfs, pause: limitable('freeze') };
  let whole = 0;
  for (let round = 0; round < rounds; round++) {
    const program = programs.start(RESTLESS, [JSON.stringify(given)]);
    const ended = once(program, 'close');
    program.stderr.resume();
    await Promise.race([once(program.stdout, 'data'), ended]);
    await sleep(random() * 900);
    program.kill('SIGKILL');
    await ended;
    await expect.poll(() => readdirSync(store.runDir), { timeout: 5_000 }).toEqual([]);
    const runtime = await Runtime.open(store.options);
    try {
      expect(await runtime.images.verify()).toMatchObject({ ok: true, problems: [] });
      for (const image of await Image.list({ runtime })) {
        if (image.tags.length === 0) continue;
        const { stdout } = await Container.run(image, ['/bin/sh', '-c', 'ls /root /m'], {
          runtime,
        });
        expect(stdout).toBe('/m:\n1\n2\n3\n4\n5\n');
        whole += 1;
      }
    } finally {
      await runtime.close();
    }
  }
  // Or the moments are badly chosen.
  expect(whole).toBeGreaterThan(0);
}, 180_000);
