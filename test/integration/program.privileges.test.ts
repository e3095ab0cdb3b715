// File capabilities and setuid programs where root inside is somebody else outside: each program sees ranges of
// subordinate ids of its own, in a mount namespace of its own.
import { execFileSync } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';

import { asUserWithSetuid, USER_ID } from '../helpers/as-user.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { ended, startPrograms } from '../helpers/program.js';
import { busyboxRootfs, compileStatic } from '../helpers/rootfs.js';
import { fileFolder, tempStore } from '../helpers/temp.js';

const { describe, test } = needs(
  ...(['native', 'asUser', 'userns', 'unshare', 'newuidmap', 'compiler', 'busybox'] as const),
);

const folder = fileFolder('privileges');
const at = (name: string): string => join(folder, name);
const cover = `mount --bind ${at('subids')} /etc/subuid; mount --bind ${at('subids')} /etc/subgid`;
const covered = ['unshare', '--mount', 'sh', '-ec', `${cover}; exec "$@"`, 'sh'];
const root = startPrograms({ prefix: covered });
const user = startPrograms({ prefix: [...covered, ...asUserWithSetuid()] });
checkLeaks();

/**
 * Says who it is, and whether it may open a raw socket. `give FILE [ROOT]` gives a file just that right, in the user
 * namespace of ROOT or in the caller's; `of FILE` says in whose it was given; `wait` waits.
 */
const RIGHTS = `#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/xattr.h>
#include <unistd.h>
#define NAME "security.capability"
int main(int argc, char** argv) {
  struct vfs_ns_cap_data data = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                                 .data[0].permitted = 1 << CAP_NET_RAW};
  const char* what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "give") == 0) {
    if (argc > 3) {
      data.magic_etc = VFS_CAP_REVISION_3 | VFS_CAP_FLAGS_EFFECTIVE;
      data.rootid = strtoul(argv[3], NULL, 10);
    }
    return setxattr(argv[2], NAME, &data, argc > 3 ? XATTR_CAPS_SZ_3 : XATTR_CAPS_SZ_2, 0) != 0;
  }
  if (strcmp(what, "of") == 0) {
    if (getxattr(argv[2], NAME, &data, sizeof data) < 0) return 1;
    printf("%u\\n", data.rootid);
    return 0;
  }
  printf("%d %d\\n", geteuid(), socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0);
  return strcmp(what, "wait") == 0 ? pause() : 0;
}
`;

beforeAll(async () => {
  await mkdir(at('rootfs'));
  await busyboxRootfs(at('rootfs'));
  await compileStatic(RIGHTS, at('rights'));
  for (const name of ['rights', 'suid', 'fcap'])
    await copyFile(at('rights'), at(`rootfs/bin/${name}`));
  await chmod(at('rootfs/bin/suid'), 0o4755);
  await chmod(at('rootfs/root'), 0o755);
  execFileSync(at('rights'), ['give', at('rootfs/bin/fcap')]);
});

/** A folder to bind: programs with rights of the machine's root, and of `rootId`. */
async function bindOf(rootId: number): Promise<string> {
  const bind = at(String(rootId));
  await mkdir(bind);
  const names = ['suid', 'own-suid', 'fcap', 'own-fcap', 'other-fcap'];
  for (const name of names) await copyFile(at('rights'), join(bind, name));
  await chown(join(bind, 'own-suid'), rootId, rootId);
  for (const name of ['suid', 'own-suid']) await chmod(join(bind, name), 0o4755);
  const give = (name: string, ...whose: number[]) =>
    execFileSync(at('rights'), ['give', join(bind, name), ...whose.map(String)]);
  give('fcap');
  give('own-fcap', rootId);
  give('other-fcap', rootId + 1);
  return bind;
}

const BODY = `
  import { execFileSync } from 'node:child_process';
  import { readFileSync } from 'node:fs';
  const { Container, Image, Runtime } = caisson;
  const { options, rootfs, bind, userns, rights } = JSON.parse(process.argv[1]);
  const runtime = await Runtime.open(options);
  const image = await Image.fromRootfs(rootfs, {}, { runtime });
  const bound = { type: 'bind', source: bind, target: '/b' };
  const mounts = userns === undefined ? [bound] : [bound, { ...bound, target: '/m', idmap: true }];
  const start = (argv, more) => Container.start({
    image, argv, user: 'app', runtime, mounts, security: { userns, ...more },
  });
  const names = ['rights', 'suid', 'fcap', ...mounts.flatMap(({ target }) =>
    ['suid', 'own-suid', 'fcap', 'own-fcap', 'other-fcap'].map((name) => target + '/' + name))];
  const result = {};
  for (const noNewPrivileges of [false, true]) {
    const box = await start(['sleep', '1000'], { noNewPrivileges });
    // What its own root gives.
    const made = 'cp /bin/rights /bin/made-suid && chmod 4755 /bin/made-suid && cp /bin/rights /bin/made-fcap && rights give /bin/made-fcap';
    await box.exec(['sh', '-c', made], { user: 'root', check: true });
    const says = result[noNewPrivileges ? 'without' : 'with'] = {};
    const all = [...names, 'made-suid', 'made-fcap'];
    const lines = (await box.exec(['sh', '-c', all.join(';')])).stdout.trim().split('\\n');
    all.forEach((name, i) => (says[name] = lines[i]));
    const upper = options.root + '/containers/' + box.id + '/upper/bin/made-fcap';
    if (process.getuid() === 0) result.whose = Number(execFileSync(rights, ['of', upper]));
    await box.remove({ force: true });
    // The first program of one, as well.
    const suid = await start(['suid', 'wait'], { noNewPrivileges });
    const { pid } = await suid.inspect();
    says.uids = /^Uid:\\t(.*)$/m.exec(readFileSync('/proc/' + pid + '/status', 'utf8'))[1].split('\\t').map(Number);
    await suid.remove({ force: true });
  }
  // Not of the machine's own network, whoever has given it.
  if (userns === undefined) result.host = await Promise.all(['rights', 'suid', 'fcap', '/b/fcap'].map(async (name) =>
    (await Container.run(image, [name], { user: 'app', runtime, mounts, networks: 'host' })).stdout.trim()));
  await runtime.close();
  process.stdout.write(JSON.stringify(result));`;

/** Of root's containers, and of an ordinary user. */
const IDS = 'containers:2200000000:65536\nnobody:300000:65536\n';

interface Case {
  readonly programs: typeof root;
  readonly uid?: number;
  readonly userns?: unknown;
  /** Who root inside is outside, and uid 1000. */
  readonly rootId: number;
  readonly appId: number;
}

const maps = (hostId: number) => [{ containerId: 0, hostId, size: 65_536 }];
const OWN = { programs: root, rootId: 1_000_000, appId: 1_001_000 };
const CASES: Readonly<Record<string, Case>> = {
  'a map': { ...OWN, userns: { uidMap: maps(OWN.rootId), gidMap: maps(OWN.rootId) } },
  auto: { programs: root, userns: 'auto', rootId: 2_200_000_000, appId: 2_200_001_000 },
  'subordinate ids': { programs: user, uid: USER_ID, rootId: USER_ID, appId: 300_999 },
};

const NOTHING = '1000 0';
const ROOT = '0 1';
const RIGHT = '1000 1';

describe.each(Object.entries(CASES))('%s', (_, { programs, uid, userns, rootId, appId }) => {
  test('rights are those of the root inside, and of no other', { timeout: 60_000 }, async () => {
    const bind = await bindOf(rootId);
    const store = await tempStore(uid === undefined ? {} : { uid });
    const argument = {
      options: store.options,
      rootfs: at('rootfs'),
      bind,
      userns,
      rights: at('rights'),
    };
    await writeFile(at('subids'), IDS);
    const { stdout, stderr } = await ended(programs.start(BODY, [JSON.stringify(argument)]));
    await store.remove();
    if (stdout === '') throw new Error(stderr);

    const rootless = uid !== undefined;
    const given = {
      rights: NOTHING,
      suid: ROOT,
      fcap: RIGHT,
      // The machine's root is nobody inside; what it gives to a file counts in every user namespace, for what is
      // that one's: capabilities(7), "Namespaced file capabilities".
      '/b/suid': NOTHING,
      '/b/own-suid': ROOT,
      '/b/fcap': RIGHT,
      '/b/own-fcap': RIGHT,
      '/b/other-fcap': NOTHING,
      // With mapped ids the machine's root is the one inside, whose own id is nobody's.
      ...(!rootless && {
        '/m/suid': ROOT,
        '/m/own-suid': NOTHING,
        '/m/fcap': RIGHT,
        '/m/own-fcap': NOTHING,
        '/m/other-fcap': NOTHING,
      }),
      'made-suid': ROOT,
      'made-fcap': RIGHT,
    };
    const none = Object.fromEntries(Object.keys(given).map((name) => [name, NOTHING]));
    expect(JSON.parse(stdout)).toEqual({
      with: { ...given, uids: [appId, rootId, rootId, rootId] },
      without: { ...none, uids: [appId, appId, appId, appId] },
      ...(rootless ? { host: [NOTHING, '0 0', NOTHING, NOTHING] } : { whose: rootId }),
    });
  });
});
