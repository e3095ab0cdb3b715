// Streams data through a process in a running container: stdin with back-pressure and a real end,
// stdout and stderr apart, and an exit that is a value.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Container, Image } from 'caisson';

const container = await Container.start({ image: Image.host(), argv: ['sleep', '1000'] });
try {
  const sort = await container.spawn(['sh', '-c', 'sort -n | tail -n 3; echo sorted >&2'], {
    timeoutMs: 30_000,
  });

  function* numbers() {
    for (let i = 0; i < 100_000; i++) yield `${(i * 7919) % 100_000}\n`;
  }
  const written = pipeline(Readable.from(numbers()), sort.stdin);
  const [stdout, stderr] = await Promise.all([text(sort.stdout), text(sort.stderr)]);
  await written;

  console.log(`stdout: ${stdout.trim().split('\n').join(', ')}`);
  console.log(`stderr: ${stderr.trim()}`);
  const { exitCode, reason } = await sort.exited;
  console.log(`${reason} with code ${exitCode}`);
} finally {
  await container.remove({ force: true });
}

async function text(stream) {
  let all = '';
  for await (const chunk of stream.setEncoding('utf8')) all += chunk;
  return all;
}
