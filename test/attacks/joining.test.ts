// needs: the native part; root or user namespaces; a compiler, a static busybox
// Attacks on what joins a container. Where there is no build without the guard they only show that it holds.
// ATTACK_ROUNDS=N: N times as many rounds as fit into CI.
import { createHash } from 'node:crypto';
import { watch } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { Container, Image, type ExecOptions, type Runtime } from '../../lib/index.js';
import { loadNative } from '../../lib/native/load.js';
import { attack } from '../helpers/attack.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs, compileStatic } from '../helpers/rootfs.js';
import { testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { test } = needs('native', 'userns', 'compiler', 'busybox', 'unguarded');
const t = testRuntime();
const TIMES = Number(process.env['ATTACK_ROUNDS'] ?? 1);

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
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int tried;
static void say(const char* text) { (void)!write(1, text, strlen(text)); }
// Another program than those of the container: not yet what was asked for.
static int is_foreign(const char* pid) {
  char path[64];
  struct stat own, info;
  snprintf(path, sizeof path, "/proc/%s/exe", pid);
  return stat("/proc/self/exe", &own) == 0 && stat(path, &info) == 0 && info.st_dev != own.st_dev;
}
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

interface Joining extends ExecOptions {
  readonly runtime?: Runtime;
  readonly argv: string[];
  readonly rounds: number;
  /** Enough was said. */
  readonly until?: RegExp;
  readonly change?: (root: string) => Promise<unknown>;
}

/** Starts it, runs `argv` beside it many times, and gives what it said. */
async function during(
  body: string,
  { runtime = t.runtime, argv, rounds, until, change, ...options }: Joining,
): Promise<string> {
  await using folder = await tempFolder();
  const program = await compileStatic(hostile(body), join(folder.path, 'hostile'));
  const root = join(folder.path, 'root');
  await mkdir(root);
  await busyboxRootfs(root);
  await copyFile(program, join(root, 'bin/hostile'));
  await change?.(root);
  const image = await Image.fromRootfs(root, {}, { runtime });
  await using box = await Container.start({ image, argv: ['hostile'], runtime });
  await using attached = await box.attach();
  let said = '';
  attached.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exec = (): Promise<unknown> => box.exec(argv, options);
  for (let round = 0; round < rounds && until?.test(said) !== true; round += 2) {
    await Promise.allSettled([exec(), exec()]);
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
    {
      argv: ['/evil'],
      rounds: 80,
      change: async (root) => {
        await writeFile(join(root, 'evil'), '#!/proc/self/exe\n');
        await chmod(join(root, 'evil'), 0o755);
      },
    },
  );
  expect(said).toContain('seen');
  expect(said).not.toContain('overwritten');
  expect(await hash()).toBe(before);
});

/** Says what it sees of what is not yet a program of the container's. */
const LOOK = `
  static char text[1 << 16];
  const char* files[] = {"environ", "maps", "cmdline"};
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
  if (access(path, F_OK) == 0) say("store\\n");
  snprintf(path, sizeof path, "/proc/%s/mem", pid);
  int mem = open(path, O_RDWR);
  if (mem >= 0 && is_foreign(pid)) say("memory\\n");
  if (mem >= 0) close(mem);`;

// A debugger's way in: it stands still in the middle of a step of ours. Without a signal, which could arrive later.
const ATTACH = `
  int number = atoi(pid);
  if (ptrace(PTRACE_SEIZE, number, 0, 0) != 0) return;
  int status;
  ptrace(PTRACE_INTERRUPT, number, 0, 0);
  if (waitpid(number, &status, __WALL) != number || !WIFSTOPPED(status)) return;
  if (is_foreign(pid)) say("attached\\n");
  ptrace(PTRACE_DETACH, number, 0, 0);`;

const SEEN = /canary|ours|store|memory|attached/;

test('what joins shows nothing and takes no debugger', { timeout: 300_000 }, async () => {
  process.env['CAISSON_CANARY'] = 'canary-in-the-environment';
  try {
    for (const body of [LOOK, ATTACH]) {
      const said = await during(body, { argv: ['true'], rounds: 500 * TIMES });
      expect(said).not.toMatch(SEEN);
    }
  } finally {
    delete process.env['CAISSON_CANARY'];
  }
});

/** A thousand folders to look for the command in, when all that is left of ours is the execve. */
const LONG_PATH = { PATH: `${'/nonesuch:'.repeat(1000)}/bin` };

for (const [name, body] of [
  ['its memory is read', LOOK],
  ['a debugger attaches', ATTACH],
] as const) {
  attack(`on what joins: ${name}`, 'kNotDumpable', async ({ runtime }) => {
    const options = { runtime, argv: ['true'], env: LONG_PATH, rounds: 100, until: SEEN };
    return SEEN.test(await during(body, options));
  });
}
