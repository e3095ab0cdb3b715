// needs: the native part; root or user namespaces; a static busybox
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { asUser, finished } from '../helpers/as-user.js';
import { attack } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { missing, needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { tempFolder, tempStore } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox', 'unguarded');
checkLeaks();

// CVE-2024-21626, CVE-2016-9962: a descriptor that a mistake has left open.
attack(
  'a descriptor of ours',
  'kClosedDescriptors',
  async (target) => {
    const list = ['ls', '/proc/self/fd'];
    const first = await target.run(target.host, list);
    await using box = await target.sleeper();
    const { stdout: joined } = await box.exec(list);
    // The list's own is the fourth.
    return [first, joined].every((text) => text.trim().split('\n').length > 4);
  },
  { build: 'tests' },
);

// CVE-2020-15257: a socket without a path is there for everybody in the network namespace.
test('the runtime listens nowhere that a container could reach', async () => {
  const store = await tempStore();
  const before = await abstractSockets();
  const runtime = await Runtime.open(store.options);
  try {
    const options = { runtime, networks: 'host' as const };
    const seen = await Container.run(Image.host(), ['cat', '/proc/net/unix'], options);
    expect(seen.stdout).toContain('\n');
    expect(namesIn(seen.stdout).filter((name) => !before.includes(name))).toEqual([]);
  } finally {
    await runtime.close();
    await store.remove();
  }
});

const namesIn = (text: string): string[] =>
  text.split('\n').flatMap((line) => /(?:@|\/\S*caisson)\S*$/.exec(line)?.[0] ?? []);
const abstractSockets = async (): Promise<string[]> =>
  namesIn(await readFile('/proc/net/unix', 'utf8'));

// CVE-2021-41091, CVE-2021-41103: setuid programs of an image, within reach of the machine's users.
describe.skipIf(missing('asUser') !== null)('another user of the machine', () => {
  test('comes to nothing in the store or the run folder', async () => {
    const store = await tempStore();
    await using folder = await tempFolder();
    await busyboxRootfs(folder.path);
    await chmod(join(folder.path, 'bin/busybox'), 0o4755);
    // Made by the runtime, where everybody may look.
    const root = join(store.root, '../own');
    const runDir = join(store.root, '../run');
    const runtime = await Runtime.open({ ...store.options, root, runDir });
    try {
      await using _box = await Container.start({
        image: await Image.fromRootfs(folder.path, {}, { runtime }),
        argv: ['sleep', '1000'],
        runtime,
      });
      const search = ['find', root, runDir, '-mindepth', '1'];
      expect((await finished(search)).stdout).toContain('/bin/busybox\n');
      const { stdout, exitCode } = await finished(asUser(search));
      expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 1 });
    } finally {
      await runtime.close();
      await store.remove();
    }
  });
});
