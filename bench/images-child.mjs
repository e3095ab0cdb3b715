// The library's side of the benchmark of images, in a Node process of its own (started as root or as an ordinary
// user): reads one request a line, {op, …}, and answers one line each. argv[2] is a folder of its own.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const [folder = '', entry = ''] = process.argv.slice(2);
const { Container, Image, Runtime } = await import(entry);

let stores = 0;

/**
 * How long `make` takes, in a store that is new. What it has made runs a program, where that is asked for.
 *
 * @param {(runtime: any) => Promise<any>} make
 * @param {{ run?: boolean }} request
 */
async function inNewStore(make, { run = false }) {
  const root = join(folder, `store-${++stores}`);
  const runtime = await Runtime.open({ root, runDir: join(folder, 'run') });
  try {
    const begin = performance.now();
    const image = await make(runtime);
    const ms = performance.now() - begin;
    if (run) {
      const { exitCode, stderr } = await Container.run(image, ['/bin/true'], { runtime });
      if (exitCode !== 0) throw new Error(`the image does not run: ${stderr}`);
    }
    return ms;
  } finally {
    await runtime.close();
  }
}

/** @type {Record<string, (request: any) => Promise<unknown>>} */
const operations = {
  async load({ file, ...request }) {
    return await inNewStore(async (runtime) => (await Image.load(file, { runtime }))[0], request);
  },

  async pull({ name, ...request }) {
    return await inNewStore((runtime) => Image.pull(name, { runtime }), request);
  },

  /** Every store is removed. */
  async clear() {
    for (const name of readdirSync(folder)) {
      if (name.startsWith('store-')) rmSync(join(folder, name), { recursive: true, force: true });
    }
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = { value: await operations[request.op]?.(request) };
  } catch (error) {
    const { message, code, details, cause } = /** @type {any} */ (error);
    answer = {
      error:
        `${code ?? ''} ${message} ${details ? JSON.stringify(details) : ''} ${cause?.message ?? ''}`.trim(),
    };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
