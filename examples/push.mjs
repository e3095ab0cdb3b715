// Pushes an image to a private registry; one that is not here is pulled first.
//
//     REGISTRY_USER=me REGISTRY_PASSWORD=secret node examples/push.mjs debian:12 registry.example/team/debian:12
//
// Without the two, what `docker login` or `Registry.login()` has stored is used.
import { CaissonError, Image } from 'caisson';

const { REGISTRY_USER: username, REGISTRY_PASSWORD: password } = process.env;
const auth = username && password ? { username, password } : undefined;

async function main(name, target) {
  const image = await Image.pull(name);
  const pushing = image.push(target, { auth });
  for await (const { layer, status, totalBytes } of pushing) {
    if (status === 'done') console.log(`${layer}: sent, ${Math.ceil(totalBytes / 1e3)} kB`);
    else if (status === 'exists' || status === 'mounted') console.log(`${layer}: is there`);
  }
  console.log(`${target}@${await pushing}`);
}

const [name, target] = process.argv.slice(2);
if (target === undefined) {
  console.log('usage: push.mjs IMAGE REGISTRY/NAME:TAG');
} else {
  await main(name, target).catch((error) => {
    if (!CaissonError.is(error, 'ERR_REGISTRY_DENIED')) throw error;
    console.log(error.message);
    process.exitCode = 1;
  });
}
