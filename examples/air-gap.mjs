// Carries an image to a machine that has no network: as a file.
//
//     node examples/air-gap.mjs save debian:12 debian.tar      where there is one
//     node examples/air-gap.mjs load debian.tar [STORE]        where there is none; STORE: a folder instead of the usual one
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

import { Container, Image, Runtime } from 'caisson';

async function save(name, file) {
  const image = await Image.pull(name);
  await pipeline(image.save(), createWriteStream(file));
  console.log(`${file}: ${name}, ${image.id}`);
}

async function load(file, root) {
  const runtime = await Runtime.open({ root });
  try {
    for (const image of await Image.load(file, { runtime })) {
      const [name] = image.tags;
      console.log(`${name}: ${image.id}`);
      // It is here by its name, so that no registry is asked.
      const { stdout } = await Container.run(name, undefined, { runtime });
      process.stdout.write(stdout);
    }
  } finally {
    await runtime.close();
  }
}

const [verb, ...args] = process.argv.slice(2);
if (verb === 'save' && args.length === 2) await save(...args);
else if (verb === 'load' && args.length > 0) await load(...args);
else console.log('usage: air-gap.mjs save IMAGE FILE | load FILE [STORE]');
