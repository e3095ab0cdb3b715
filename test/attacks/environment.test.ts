// needs: the native part; root, who becomes an ordinary user; newuidmap; a compiler, a static busybox
// CVE-2025-23266 and its kind: what the runtime itself executes obeys the environment of the program, or of an image.
import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect } from 'vitest';

import { asUserWithSetuid, USER_ID } from '../helpers/as-user.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { ended, startPrograms } from '../helpers/program.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { test } = needs('native', 'asUser', 'userns', 'unshare', 'newuidmap', 'compiler', 'busybox');

const folder = fileFolder('environment');
const at = (name: string): string => join(folder, name);
const CANARY = at('canary.so');
/** Of the program and of the image. */
const ENVIRONMENT = [`LD_PRELOAD=${CANARY}`, `LD_LIBRARY_PATH=${folder}`, 'CANARY=1'];

/** Writes down the program of whoever loads it. */
const CANARY_SOURCE = `
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
  char path[4096];
  long size = readlink("/proc/self/exe", path, sizeof path - 1);
  int fd = open("${at('loaded')}", O_WRONLY | O_APPEND);
  if (fd < 0 || size < 0) return;
  path[size++] = '\\n';
  (void)!write(fd, path, size);
  close(fd);
}`;

/** In the place of newuidmap: what it was started with. A shell is linked dynamically, and not setuid. */
const HELPER = `#!/bin/sh
tr '\\0' '\\n' < /proc/$$/environ >> ${at('started')}
fds=$(ls -l /proc/$$/fd)
echo "$fds" >> ${at('started')}
readlink /proc/$$/cwd >> ${at('started')}
exit 1
`;

const uncovered = ['env', ...ENVIRONMENT];
const covered = [
  ...['unshare', '--mount', 'sh', '-ec'],
  `mount --bind ${at('newuidmap')} /usr/bin/newuidmap
   mount --bind ${at('subuid')} /etc/subuid
   exec "$@"`,
  'sh',
  ...asUserWithSetuid(),
  ...uncovered,
];
const root = startPrograms({ prefix: uncovered });
const user = startPrograms({ prefix: covered });
checkLeaks();

beforeAll(async () => {
  await writeFile(at('canary.c'), CANARY_SOURCE);
  execFileSync('cc', ['-shared', '-fPIC', '-o', CANARY, at('canary.c')]);
  await writeFile(at('newuidmap'), HELPER);
  await chmod(at('newuidmap'), 0o755);
  await writeFile(at('subuid'), 'nobody:300000:65536\n');
  await mkdir(at('rootfs'));
  await busyboxRootfs(at('rootfs'));
  await mkdir(join(at('rootfs'), folder), { recursive: true });
  await chmod(join(at('rootfs'), 'root'), 0o755);
  await copyFile(CANARY, join(at('rootfs'), CANARY));
  await writeFile(join(at('rootfs'), at('loaded')), '');
});
beforeEach(async () => {
  for (const name of ['loaded', 'started']) {
    await writeFile(at(name), '');
    await chmod(at(name), 0o666);
  }
});

const BODY = `
  import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
  const { Container, Image, Runtime } = caisson;
  const [options, rootfs, Env, loaded] = JSON.parse(process.argv[1]);
  const runtime = await Runtime.open(options);
  const image = await Image.fromRootfs(rootfs, { Env }, { runtime });
  const ran = await Container.run(image, ['env'], { runtime, init: true });
  const box = await Container.start({ image, runtime, argv: ['sleep', '1000'], init: true });
  const joined = await box.exec(['env']);
  const inside = await box.exec(['cat', loaded]);
  // Some are gone before they are looked at.
  const orNothing = (look) => { try { return look(); } catch { return ''; } };
  const below = (pid) =>
    orNothing(() => readdirSync('/proc/' + pid + '/task')
      .map((task) => readFileSync('/proc/' + pid + '/task/' + task + '/children', 'utf8')).join(''))
      .split(' ')
      .filter((child) => child !== '')
      .flatMap((child) => [child, ...below(child)]);
  const uts = (pid) => orNothing(() => readlinkSync('/proc/' + pid + '/ns/uts'));
  const environments = process.getuid() !== 0 ? [] : below(process.pid)
    .filter((pid) => uts(pid) === uts('self'))
    .map((pid) => orNothing(() => readFileSync('/proc/' + pid + '/environ', 'utf8')));
  await box.remove({ force: true });
  await runtime.close();
  process.stdout.write(JSON.stringify({
    ran: ran.stdout, joined: joined.stdout, inside: inside.stdout, environments,
  }));`;

async function run(programs: typeof root, uid?: number): Promise<Record<string, unknown>> {
  const store = await tempStore(uid === undefined ? {} : { uid });
  try {
    const argument = JSON.stringify([store.options, at('rootfs'), ENVIRONMENT, at('loaded')]);
    const { stdout, stderr } = await ended(programs.start(BODY, [argument]));
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  } finally {
    await store.remove();
  }
}

/** The image's is its containers' own; nobody has loaded what it names. */
const OF_THE_IMAGE = expect.stringContaining(ENVIRONMENT.join('\n')) as string;
const SHOWN = { ran: OF_THE_IMAGE, joined: OF_THE_IMAGE, inside: '' };

async function checkLoaded(): Promise<void> {
  const programs = (await readFile(at('loaded'), 'utf8')).trim().split('\n');
  expect([...new Set(programs)]).toEqual([process.execPath]);
}

test('as root: the supervisor, its hands and the init of a container have none', async () => {
  const { environments, ...shown } = await run(root);
  expect(shown).toEqual(SHOWN);
  expect((environments as string[]).length).toBeGreaterThan(3);
  expect([...new Set(environments as string[])]).toEqual(['']);
  await checkLoaded();
});

test('as an ordinary user: nor has newuidmap, which has no descriptor or folder either', async () => {
  const shown = await run(user, USER_ID);
  expect(shown).toEqual({ ...SHOWN, environments: [] });
  const lines = (await readFile(at('started'), 'utf8')).trim().split('\n');
  expect(
    lines.map((line) => line.replace(/^[lrwx-]{10} .* (\d+ -> )/, '$1').replace(/:\[\d+\]$/, '')),
  ).toEqual([
    'total 0',
    '0 -> /dev/null',
    '1 -> /dev/null',
    '10 -> /usr/bin/newuidmap',
    '2 -> /dev/null',
    '3 -> pipe', // to `ls`
    '/',
  ]);
  await checkLoaded();
});
