// needs: the native part; root or user namespaces; a compiler, a static busybox
// Attacks on what joins a container, for which there is no build without the guard: they only show that it holds.
import { createHash } from 'node:crypto';
import { existsSync, watch } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { loadNative } from '../../lib/native/load.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs, compileStatic } from '../helpers/rootfs.js';
import { testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { test } = needs('native', 'userns', 'compiler', 'busybox');
const t = testRuntime();

// libuv opens its inotify descriptor at the first watch of a process, and keeps it.
beforeAll(() => {
  watch(tmpdir(), { persistent: false }).close();
});

/** Pid 1 looks at every other process, again and again, and says what it could do. */
const hostile = (body: string): string => `
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int tried;
static void say(const char* text) { (void)!write(1, text, strlen(text)); }
static void look(const char* pid) {
  char path[64];
  ${body}
  (void)path; (void)pid;
}
int main(void) {
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    DIR* folder = opendir("/proc");
    for (struct dirent* entry; (entry = readdir(folder)) != NULL;) {
      const char* name = entry->d_name;
      if (name[0] >= '1' && name[0] <= '9' && strcmp(name, "1") != 0) look(name);
    }
    closedir(folder);
  }
}
`;

/** Starts it, runs `argv` beside it many times, and gives what it said. */
async function during(
  body: string,
  argv: string[],
  rounds: number,
  more: (root: string) => Promise<unknown> = () => Promise.resolve(),
): Promise<string> {
  await using folder = await tempFolder();
  const program = await compileStatic(hostile(body), join(folder.path, 'hostile'));
  const root = join(folder.path, 'root');
  await mkdir(root);
  await busyboxRootfs(root);
  await copyFile(program, join(root, 'bin/hostile'));
  await more(root);
  const image = await Image.fromRootfs(root, {}, { runtime: t.runtime });
  await using box = await Container.start({ image, argv: ['hostile'], runtime: t.runtime });
  await using attached = await box.attach();
  let said = '';
  attached.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  for (let round = 0; round < rounds; ++round) {
    await Promise.allSettled([box.exec(argv), box.exec(argv)]);
  }
  expect((await box.inspect()).state).toBe('running');
  await box.kill('SIGKILL');
  await attached.exited;
  return said;
}

// CVE-2019-5736: what joins is opened by /proc/PID/exe, and written to when it has ended.
test('the supervisor’s program is not overwritten', { timeout: 120_000 }, async () => {
  const { supervisor } = loadNative();
  const hash = async (): Promise<string> =>
    createHash('sha256')
      .update(await readFile(supervisor))
      .digest('hex');
  const before = await hash();
  const said = await during(
    `
    struct stat own, info;
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    if (stat("/proc/self/exe", &own) == 0 && fstat(fd, &info) == 0 && info.st_dev != own.st_dev) {
      if (!tried++) say("seen\\n");
      char self[64];
      snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
      for (int i = 0; i < 2000; ++i) {
        int out = open(self, O_WRONLY);
        if (out < 0) continue;
        if (write(out, "owned", 5) > 0) say("overwritten\\n");
        close(out);
      }
    }
    close(fd);`,
    ['/evil'],
    40,
    async (root) => {
      await writeFile(join(root, 'evil'), '#!/proc/self/exe\n');
      await chmod(join(root, 'evil'), 0o755);
    },
  );
  expect(said).toContain('seen');
  expect(said).not.toContain('overwritten');
  expect(await hash()).toBe(before);
});

test(
  'a process that joins shows nothing of the program or the host',
  { timeout: 120_000 },
  async () => {
    process.env['CAISSON_CANARY'] = 'canary-in-the-environment';
    try {
      const said = await during(
        `
      static char text[1 << 16];
      const char* files[] = {"environ", "cmdline", "maps"};
      for (int i = 0; i < 3; ++i) {
        snprintf(path, sizeof path, "/proc/%s/%s", pid, files[i]);
        int fd = open(path, O_RDONLY);
        if (fd < 0) continue;
        long size = read(fd, text, sizeof text);
        close(fd);
        if (size > 0 && memmem(text, size, "canary", 6)) say("canary\\n");
        if (size > 0 && memmem(text, size, "caisson", 7)) say("ours\\n");
      }
      snprintf(path, sizeof path, "/proc/%s/cwd/store.json", pid);
      if (access(path, F_OK) == 0) say("store\\n");`,
        ['true'],
        60,
      );
      expect(said).not.toMatch(/canary|ours|store/);
    } finally {
      delete process.env['CAISSON_CANARY'];
    }
  },
);

// CVE-2021-30465: a container swaps folder and link where others are having a mount made.
test('a racer on the target of a mount', { timeout: 120_000 }, async () => {
  await using shared = await tempFolder();
  await chmod(shared.path, 0o777);
  const volume = { type: 'bind' as const, source: shared.path, target: '/vol' };
  const script = `cd /vol; while :; do mkdir a; mkdir a/b; rm -rf a; ln -s /store a; rm a; ln -s / a; rm a; done`;
  await using racer = await Container.start({
    image: t.image,
    argv: ['sh', '-c', `${script} 2>/dev/null`],
    runtime: t.runtime,
    mounts: [volume],
  });
  expect((await racer.inspect()).state).toBe('running');
  let made = 0;
  for (let round = 0; round < 60; ++round) {
    const call = Container.run(t.image, ['true'], {
      runtime: t.runtime,
      mounts: [volume, { type: 'tmpfs', target: '/vol/a/b' }],
    });
    made += await call.then(
      () => 1,
      () => 0,
    );
  }
  expect(made).toBeGreaterThan(0);
  expect(existsSync('/b')).toBe(false);
  expect(await readdir(t.store.options.root)).not.toContain('b');
});
