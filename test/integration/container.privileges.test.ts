// needs: the native part; root or user namespaces; a compiler, a static busybox
import { execFileSync } from 'node:child_process';
import { chmod, copyFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { Container, Image, type ExecResult, type RunOptions } from '../../lib/index.js';
import { finished } from '../helpers/as-user.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs, compileStatic } from '../helpers/rootfs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'compiler', 'busybox');
const t = testRuntime();

async function imageOf(change: (root: string) => Promise<unknown>): Promise<Image> {
  await using folder = await tempFolder();
  await busyboxRootfs(folder.path);
  await change(folder.path);
  return await Image.fromRootfs(folder.path, {}, { runtime: t.runtime });
}

const run = (image: Image, argv: string[], options: RunOptions = {}): Promise<ExecResult> =>
  Container.run(image, argv, { runtime: t.runtime, ...options });

/** Who it is, and whether it may open a raw socket and a ping socket. */
const WHO = `#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  printf("%d %d %d\\n", geteuid(), socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0,
         socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) >= 0);
  return 0;
}
`;

const withWho = (): Promise<Image> =>
  imageOf(async (root) => {
    await compileStatic(WHO, join(root, 'bin/who'));
    await rm(join(root, 'bin/who.c'));
    for (const name of ['suid', 'fcap'])
      await copyFile(join(root, 'bin/who'), join(root, 'bin', name));
    await chmod(join(root, 'bin/suid'), 0o4755);
    if (!rootless) execFileSync('setcap', ['cap_net_raw+ep', join(root, 'bin/fcap')]);
  });

describe.skipIf(rootless)('setuid programs and file capabilities, as with Docker', () => {
  test('give what the bounding set has', async () => {
    const image = await withWho();
    const who = async (name: string, security: RunOptions['security'] = {}): Promise<string> =>
      (await run(image, [name], { user: 'app', security })).stdout;
    // ping needs neither: its sockets are for every group.
    expect(await who('who')).toBe('1000 0 1\n');
    expect(await who('suid')).toBe('0 1 1\n');
    expect(await who('fcap')).toBe('1000 1 1\n');
    const less = { capDrop: ['NET_RAW'] };
    expect(await who('suid', less)).toBe('0 0 1\n');
  });

  test('give nothing with noNewPrivileges', async () => {
    const image = await withWho();
    for (const name of ['who', 'suid', 'fcap']) {
      const { stdout } = await run(image, [name], {
        user: 'app',
        security: { noNewPrivileges: true },
      });
      expect([name, stdout]).toEqual([name, '1000 0 1\n']);
    }
  });

  test('in what is run in a container, too', async () => {
    const image = await withWho();
    for (const noNewPrivileges of [false, true]) {
      await using box = await Container.start({
        image,
        argv: ['sleep', 'infinity'],
        user: 'app',
        runtime: t.runtime,
        security: { noNewPrivileges },
      });
      const own = await box.exec(['suid']);
      expect(own.stdout).toBe(noNewPrivileges ? '1000 0 1\n' : '0 1 1\n');
      // A privileged one is another matter.
      expect((await box.exec(['suid'], { privileged: true })).stdout).toBe('0 1 1\n');
    }
  });
});

const IDS = "sed -n 's/^\\(Uid\\|Gid\\|Groups\\):\\t//p' /proc/self/status | tr '\\t\\n' ' |'";

describe.skipIf(rootless)('user strings, against what the kernel says', () => {
  const PASSWD = `root:x:0:0:root:/root:/bin/sh
wrapped:x:4294967296:0::/:/bin/sh
negative:x:-1:-1::/:/bin/sh
1000:x:0:0::/forged:/bin/sh
app:x:1000:1000:app:/home/app:/bin/sh
`;
  test.each<[string, string]>([
    // CVE-2026-30892: a number is that number, whatever is called so.
    ['1', '1 1 1 1|0 0 0 0|0 |'],
    ['1000', '1000 1000 1000 1000|1000 1000 1000 1000|1000 2000 |'],
    ['001000', '1000 1000 1000 1000|1000 1000 1000 1000|1000 2000 |'],
    ['app', '1000 1000 1000 1000|1000 1000 1000 1000|1000 2000 |'],
    // CVE-2022-36109: the group that is asked for is among the supplementary ones, and alone there.
    ['app:extra', '1000 1000 1000 1000|2000 2000 2000 2000|2000 |'],
    ['5:6', '5 5 5 5|6 6 6 6|6 |'],
    // CVE-2024-40635 and others: nothing wraps to 0.
    ['2147483648', '2147483648 2147483648 2147483648 2147483648|0 0 0 0|0 |'],
    ['4294967294', '4294967294 4294967294 4294967294 4294967294|0 0 0 0|0 |'],
  ])('%s', async (user, ids) => {
    const image = await imageOf((root) => writeFile(join(root, 'etc/passwd'), PASSWD));
    const { stdout } = await run(image, ['sh', '-c', IDS], { user });
    expect(stdout).toBe(ids);
    await using box = await Container.start({
      image,
      argv: ['sleep', 'infinity'],
      runtime: t.runtime,
    });
    expect((await box.exec(['sh', '-c', IDS], { user })).stdout).toBe(ids);
  });

  test.each([
    'wrapped',
    'negative',
    '4294967295',
    '4294967296',
    '18446744073709551616',
    '-1',
    '+0',
  ])('%s is nobody', async (user) => {
    const image = await imageOf((root) => writeFile(join(root, 'etc/passwd'), PASSWD));
    expect(await rejection(run(image, ['true'], { user }))).toMatchObject({
      code: expect.stringMatching(/^ERR_(USER_NOT_FOUND|INVALID_ARGUMENT)$/) as string,
    });
  });
});

describe('a passwd file that is none', () => {
  const asked = (image: Image): Promise<unknown> =>
    rejection(run(image, ['true'], { user: 'app' }));
  const nobody = { code: 'ERR_USER_NOT_FOUND', details: { user: 'app' } };

  test('a FIFO: nobody waits for it', async () => {
    const image = await imageOf(async (root) => {
      await rm(join(root, 'etc/passwd'));
      execFileSync('mkfifo', [join(root, 'etc/passwd')]);
    });
    expect(await asked(image)).toMatchObject(nobody);
  });

  test('a folder; a link to a device, out of the root, to a descriptor', async () => {
    for (const target of [
      null,
      '/dev/zero',
      '/dev/stdin',
      '/proc/self/fd/0',
      '../../../../etc/passwd',
    ]) {
      const image = await imageOf(async (root) => {
        await rm(join(root, 'etc/passwd'));
        if (target === null) await mkdir(join(root, 'etc/passwd'));
        else await symlink(target, join(root, 'etc/passwd'));
      });
      expect(await asked(image)).toMatchObject(nobody);
      // HOME is not taken from another's file, either.
      const { stdout } = await run(image, ['sh', '-c', 'echo $HOME']);
      expect(stdout).toBe('/\n');
    }
  });

  test('a gigabyte', async () => {
    const image = await imageOf(async (root) => {
      await writeFile(join(root, 'etc/passwd'), '');
      await truncate(join(root, 'etc/passwd'), 2 ** 30);
    });
    const begin = Date.now();
    expect(await asked(image)).toMatchObject(nobody);
    expect(Date.now() - begin).toBeLessThan(10_000);
  });
});

test('each container has a session keyring of its own', async () => {
  const source = `#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { printf("%ld\\n", syscall(SYS_keyctl, 0, -3, 0)); return 0; }
`;
  await using folder = await tempFolder();
  const program = await compileStatic(source, join(folder.path, 'session'));
  const image = await imageOf((root) => copyFile(program, join(root, 'bin/session')));
  const security = { seccomp: 'unconfined' as const };
  const ids = new Set([(await finished([program])).stdout]);
  for (let i = 0; i < 2; ++i) ids.add((await run(image, ['session'], { security })).stdout);
  await using box = await Container.start({
    image,
    argv: ['sleep', 'infinity'],
    runtime: t.runtime,
    security,
  });
  ids.add((await box.exec(['session'])).stdout);
  expect(ids.size).toBe(4);
  for (const id of ids) expect(Number(id)).toBeGreaterThan(0);
});
