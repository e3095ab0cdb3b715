// What limits do: a hog is killed and says why while its neighbour goes on, a fork bomb fizzles out, a busy loop
// gets its share and no more.
//
// They need cgroups: run it as root, or in a delegated group (docs/limits-and-isolation.md).
import { CaissonError, Container, Image } from 'caisson';

const image = Image.host();
const shell = (line, limits, more) => Container.run(image, ['sh', '-c', line], { limits, ...more });

async function main() {
  const argv = ['sleep', 'infinity'];
  const neighbour = await Container.start({ image, argv, limits: { memoryBytes: '64MiB' } });
  try {
    const hog = await shell('exec tail /dev/zero', { memoryBytes: '64MiB' });
    console.log(`hog: ${hog.reason}, ${Math.round(hog.usage.maxRssBytes / 2 ** 20)} MiB at most`);
    const { stdout } = await neighbour.exec(['echo', 'still here']);
    console.log(`its neighbour: ${stdout.trim()}`);
  } finally {
    await neighbour.remove({ force: true });
  }

  const bomb = await shell('for i in 1 2 3 4 5 6 7 8; do sleep 9 & done', { pids: 5 });
  console.log(`fork bomb: ${/fork/i.test(bomb.stderr) ? 'no more than five' : 'went off'}`);

  const busy = await shell('while :; do :; done', { cpus: 0.25 }, { timeoutMs: 1000 });
  const seconds = (busy.usage.userUs + busy.usage.systemUs) / 1e6;
  console.log(`busy loop: ${busy.reason}, ${seconds < 0.4 ? 'a quarter' : 'more'} of a processor`);
}

try {
  await main();
} catch (error) {
  if (!CaissonError.is(error, 'ERR_UNSUPPORTED')) throw error;
  console.log(`${error.message}\n${error.hint}`);
}
