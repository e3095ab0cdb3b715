// needs: the native part; root or user namespaces; a compiler, a static busybox
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { attack, unlessRefused, type Target } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { missing, needs } from '../helpers/needs.js';
import { compileStatic } from '../helpers/rootfs.js';
import { tempFolder } from '../helpers/temp.js';

const { describe } = needs('native', 'userns', 'compiler', 'busybox', 'unguarded');
checkLeaks();

const DOCKERS = 0xa80425fbn;

/** A line of /proc/self/status of pid 1 and of what is run in a container, as numbers. */
async function status(target: Target, line: string, security = {}): Promise<bigint[]> {
  const argv = ['sed', '-n', `s/^${line}:\\t//p`, '/proc/self/status'];
  const first = await target.run(target.host, argv, { security });
  await using box = await target.sleeper({ security });
  const joined = await box.exec(argv);
  return [first, joined.stdout].map((text) => BigInt(`0x${text.trim()}`));
}

// CVE-2022-24769, CVE-2022-29162.
attack('capabilities are inherited', 'kNotInheritable', async (target) => {
  const [first, joined] = await status(target, 'CapInh');
  return first !== 0n && joined !== 0n;
});

attack('a bounding set with more than is given', 'kBoundingSet', async (target) => {
  const [first, joined] = await status(target, 'CapBnd');
  return first !== DOCKERS && joined !== DOCKERS;
});

// The strict filter could not even be loaded without: the kernel asks for it.
attack('a way to more privileges', 'kNoNewPrivileges', async (target) => {
  const security = { noNewPrivileges: true, seccomp: 'unconfined' };
  const [first, joined] = await status(target, 'NoNewPrivs', security);
  return first === 0n && joined === 0n;
});

attack('namespaces are made', 'kFilter', async (target) => {
  const script = 'unshare -U true 2>/dev/null && echo made; true';
  return (await target.run(target.host, ['sh', '-c', script])) === 'made\n';
});

// CVE-2026-31431, CVE-2022-0185 and their kind: a hole of the kernel that no call reaches is none.
attack('calls that nobody needs', 'kFilter', async (target) => {
  const image = await withProgram(
    target,
    `#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TRY(name, ...) do { \
  if (syscall(__VA_ARGS__) >= 0 || (errno != EPERM && errno != ENOSYS)) puts(name); } while (0)
int main(void) {
  TRY("AF_ALG", SYS_socket, 38, 5, 0);
  TRY("AF_VSOCK", SYS_socket, 40, 1, 0);
  TRY("io_uring", SYS_io_uring_setup, 1, 0);
  TRY("keyctl", SYS_keyctl, 0, -3, 0);
  TRY("add_key", SYS_add_key, 0, 0, 0, 0, 0);
  TRY("userfaultfd", SYS_userfaultfd, 1);
  TRY("perf_event_open", SYS_perf_event_open, 0, 0, -1, -1, 0);
  TRY("fsopen", SYS_fsopen, 0, 0);
  TRY("clone3", SYS_clone3, 0, 0);
  return 0;
}`,
  );
  const reached = (security = {}): Promise<string> => target.run(image, ['program'], { security });
  return (await reached()) !== '' && (await reached({ preset: 'strict' })) !== '';
});

describe.skipIf(process.arch !== 'x64')('calls of other machines', () => {
  // As a 32-bit call `socketcall` passes every filter of socket families; strict has none of those.
  attack('int 0x80 in strict', 'kFilter', async (target) => {
    const image = await withProgram(
      target,
      `#include <stdio.h>
int main(void) {
  long pid;
  __asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory");
  printf("%ld", pid);
  return 0;
}`,
    );
    return /^\d+$/.test(await target.run(image, ['program'], { security: 'strict' }));
  });
});

// Keys of another container, or of the program that started it.
attack('a session keyring that is shared', 'kOwnKeyring', async (target) => {
  const image = await withProgram(
    target,
    `#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { printf("%ld", syscall(SYS_keyctl, 0, -3, 0)); return 0; }`,
  );
  const session = (): Promise<string> =>
    target.run(image, ['program'], { security: { seccomp: 'unconfined' } });
  return (await session()) === (await session());
});

// CVE-2024-40635, CVE-2026-46680: an id that becomes 0.
describe.skipIf(missing('root') !== null)('ids', () => {
  attack('of 2^32', 'kIdRange', async (target) => {
    const image = await target.image((root) =>
      writeFile(join(root, 'etc/passwd'), 'wrapped:x:4294967296:4294967296::/:/bin/sh\n'),
    );
    const id = await unlessRefused(target.run(image, ['id', '-u'], { user: 'wrapped' }));
    return id === '0\n';
  });
});

async function withProgram(target: Target, source: string): ReturnType<Target['image']> {
  await using folder = await tempFolder();
  const program = await compileStatic(source, join(folder.path, 'program'));
  return await target.image((root) => copyFile(program, join(root, 'bin/program')));
}
