// Pulls an image with a line of progress per layer, and runs its command.
//
//     node examples/pull.mjs debian:12 cat /etc/debian_version
import { Container, Image } from 'caisson';

const layers = new Map();
const percent = ({ currentBytes, totalBytes }) =>
  totalBytes === 0 ? '' : `${Math.floor((100 * currentBytes) / totalBytes)} %`;

/** A line for each layer, over those of before. */
function show() {
  if (!process.stderr.isTTY) return;
  process.stderr.write('\x1b[J');
  for (const event of layers.values()) {
    process.stderr.write(`${event.layer}  ${event.status.padEnd(11)} ${percent(event)}\n`);
  }
  process.stderr.write(`\x1b[${layers.size}A`);
}

async function main(name, argv) {
  const pulling = Image.pull(name);
  for await (const event of pulling) {
    layers.set(event.digest, event);
    show();
  }
  if (process.stderr.isTTY) process.stderr.write('\x1b[J');
  const image = await pulling;
  console.log(`${name}: ${layers.size} layers, ${Math.round(image.sizeBytes / 1e6)} MB unpacked`);

  const { stdout, exitCode } = await Container.run(image, argv.length === 0 ? undefined : argv);
  process.stdout.write(stdout);
  process.exitCode = exitCode ?? 1;
}

const [name, ...argv] = process.argv.slice(2);
if (name === undefined) console.log('usage: pull.mjs IMAGE [COMMAND...]');
else await main(name, argv);
