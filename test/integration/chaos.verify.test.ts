import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { tarOf } from '../helpers/archive.js';
import { randomNumbers, ROUNDS, SEED } from '../helpers/chaos.js';
import { writeLayout } from '../helpers/layout.js';
import { checkLeaks } from '../helpers/leak.js';
import { busybox, needs } from '../helpers/needs.js';
import { startPrograms } from '../helpers/program.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { test } = needs('native', 'userns', 'busybox');
const folder = fileFolder('chaos-verify');
const programs = startPrograms();
const rounds = Math.max(4, Math.round(ROUNDS / 50));
checkLeaks();

/** Damages a layer and mends it, without end. */
const RESTLESS = `
  const { appendFile, readdir } = await import('node:fs/promises');
  const [options, layout] = process.argv.slice(1);
  const { root } = JSON.parse(options);
  const runtime = await caisson.Runtime.open(JSON.parse(options));
  await caisson.Image.load(layout, { runtime });
  process.stdout.write('open ');
  for (let i = 0; ; i++) {
    const layers = (await readdir(root + '/layers', { withFileTypes: true }))
      .filter((one) => one.isDirectory() && /^[0-9a-f]{64}/.test(one.name));
    await appendFile(root + '/layers/' + layers[i % layers.length].name + '/bin/sh', 'damage');
    const { ok, problems } = await runtime.images.verify({ repair: true });
    if (!ok || problems.length === 0) throw new Error(JSON.stringify(problems));
    process.stdout.write('mended ');
  }`;

test(`a program killed at ${rounds} moments of mending: what is left can be mended (CHAOS_SEED=${SEED})`, async () => {
  const random = randomNumbers(SEED);
  await using store = await tempStore();
  const busy = { name: 'bin/sh', data: readFileSync(busybox() ?? ''), mode: 0o755, id: 0 };
  const folderBin = { name: 'bin/', type: '5', mode: 0o755, id: 0 } as const;
  const layout = await writeLayout(join(folder, 'layout'), {
    layers: [
      tarOf([folderBin, busy, { name: 'low', data: Buffer.from('low'), id: 0 }]),
      // Without the folder above it.
      tarOf([busy, { name: 'high', data: Buffer.from('high'), id: 0 }]),
    ],
  });
  let mended = 0;
  let damaged = 0;
  for (let round = 0; round < rounds; round++) {
    const program = programs.start(RESTLESS, [JSON.stringify(store.options), layout]);
    const ended = once(program, 'close');
    let said = '';
    let failure = '';
    program.stdout.on('data', (text: Buffer) => (said += text.toString()));
    program.stderr.on('data', (text: Buffer) => (failure += text.toString()));
    await Promise.race([once(program.stdout, 'data'), ended]);
    await sleep(random() * 600);
    program.kill('SIGKILL');
    await ended;
    expect(failure).toBe('');
    mended += said.split('mended').length - 1;
    await expect.poll(() => readdirSync(store.runDir), { timeout: 5_000 }).toEqual([]);
    const runtime = await Runtime.open(store.options);
    try {
      const { problems } = await runtime.images.verify({ repair: true });
      if (problems.length > 0) damaged += 1;
      expect(problems.filter(({ repaired }) => !repaired)).toEqual([]);
      expect(await runtime.images.verify()).toMatchObject({ ok: true, problems: [] });
      for (const image of await Image.list({ runtime })) {
        const argv = ['/bin/sh', '-c', 'read l < /low; read h < /high; echo $l $h'];
        expect((await Container.run(image, argv, { runtime })).stdout).toBe('low high\n');
      }
      const layers = readdirSync(join(store.options.root, 'layers'), { withFileTypes: true });
      expect(layers.filter((one) => one.isDirectory() && one.name.startsWith('.'))).toEqual([]);
    } finally {
      await runtime.close();
    }
  }
  // Or the moments are badly chosen.
  expect(mended).toBeGreaterThan(0);
  expect(damaged).toBeGreaterThan(0);
}, 180_000);
