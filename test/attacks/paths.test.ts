// needs: the native part; root or user namespaces; a static busybox
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';

import type { Mount } from '../../lib/index.js';
import { attack, unlessRefused, withTarget, type Target } from '../helpers/attack.js';
import { checkLeaks } from '../helpers/leak.js';
import { missing, needs } from '../helpers/needs.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox', 'unguarded');
checkLeaks();

// CVE-2019-19921, CVE-2025-31133, CVE-2026-41579 and their kind.
describe('an image that has links where the kernel’s file systems go', () => {
  for (const [name, known] of [
    ['proc', 'self'],
    ['sys', 'class'],
    ['dev', 'null'],
  ] as const) {
    attack(`/${name}`, 'kRealFolders', async (target) => {
      const image = await target.image(async (root) => {
        await mkdir(join(root, 'tmp/elsewhere'));
        await symlink('/tmp/elsewhere', join(root, name));
      });
      const list = await unlessRefused(target.run(image, ['ls', '/tmp/elsewhere']));
      return list !== false && list.split('\n').includes(known);
    });
  }
});

// CVE-2021-30465: the target of a mount is made where a link of the image leads. What a child sees of the machine is
// the store, at /store.
attack('a mount behind a link to the host', 'kInRoot', async (target) => {
  const image = await target.image((root) => symlink('/store', join(root, 'vol')));
  await unlessRefused(
    target.run(image, ['true'], { mounts: [{ type: 'tmpfs', target: '/vol/made' }] }),
  );
  return existsSync(join(target.store, 'made'));
});

// CVE-2025-9566 and its kind: so are the small files that every container gets.
attack('a folder of small files that leads to the host', 'kInRoot', async (target) => {
  const image = await target.image(async (root) => {
    await rename(join(root, 'etc'), join(root, 'real'));
    await symlink('/store', join(root, 'etc'));
  });
  await unlessRefused(target.run(image, ['true']));
  return existsSync(join(target.store, 'hosts'));
});

// CVE-2019-16884: what is written there, a label of AppArmor, goes to a file of the image's instead.
describe('a link of the image into procfs', () => {
  const covers = async (
    target: Target,
    link: string,
    to: string,
    mounts: Mount[] = [],
  ): Promise<boolean> => {
    const image = await target.image((root) => symlink(to, join(root, link)));
    const search = ['grep', ' /proc/[0-9]*/attr', '/proc/self/mountinfo'];
    const lines = await unlessRefused(target.run(image, search, { mounts }));
    return lines !== false && lines !== '';
  };

  attack('where a tmpfs goes', 'kKernelTargets', (target) =>
    covers(target, 'vol', '/proc/self/attr', [{ type: 'tmpfs', target: '/vol' }]),
  );

  attack('where a bind goes', 'kKernelTargets', async (target) => {
    await using folder = await tempFolder();
    const bind = { type: 'bind', source: folder.path, target: '/vol/attr' } as const;
    return await covers(target, 'vol', '/proc/self', [bind]);
  });

  attack('where a small file goes', 'kKernelTargets', (target) =>
    covers(target, 'etc/hosts', '/proc/self/attr/exec'),
  );
});

// CVE-2024-21626: descriptors of whoever joins lead to the host's folders.
attack('a working folder that is a descriptor', 'kPlainWorkdir', async (target) => {
  await using box = await target.sleeper();
  for (let fd = 3; fd < 40; ++fd) {
    const cwd = `/proc/self/fd/${fd}`;
    const joined = await unlessRefused(box.exec(['/bin/ls'], { cwd }));
    const first = await unlessRefused(target.run(target.host, ['/bin/ls'], { cwd }));
    const shown = `${first === false ? '' : first}${joined === false ? '' : joined.stdout}`;
    if (/^layers$/m.test(shown)) return true;
  }
  return false;
});

// CVE-2025-9566, CVE-2026-55686: one that is missing is made, by root, and where a link of the image leads.
describe('a missing working folder behind a link', () => {
  // What a child still has open of the machine is the store.
  attack('to a descriptor', 'kInRoot', async (target) => {
    const fds = Array.from({ length: 37 }, (_, i) => i + 3);
    const image = await target.image(async (root) => {
      for (const fd of fds) await symlink(`/proc/self/fd/${fd}`, join(root, `fd${fd}`));
    });
    for (const fd of fds) {
      await unlessRefused(target.run(image, ['true'], { cwd: `/fd${fd}/made` }));
    }
    return existsSync(join(target.store, 'made'));
  });

  /** Where it is in the end: as the caller asks for it, and as the image does. */
  const places = async (
    target: Target,
    to: string,
    mounts: Mount[] = [],
  ): Promise<(string | false)[]> => {
    const cwd = '/link/made';
    const pwd = ['sh', '-c', 'pwd -P'];
    const link = (root: string): Promise<unknown> => symlink(to, join(root, 'link'));
    const asking = await target.image(link, { WorkingDir: cwd });
    return [
      await unlessRefused(target.run(await target.image(link), pwd, { cwd, mounts })),
      await unlessRefused(target.run(asking, pwd, { mounts })),
    ];
  };

  // Two walls: the way is resolved in the root, from which nothing else is in sight any more.
  test.each([
    ['to a folder of the machine', '', true],
    ['upwards', '../../..', true],
    ['to a root in procfs', '/proc/self/root', false],
  ])('%s', async (_, way, made) => {
    await using folder = await tempFolder();
    const canary = join(folder.path, 'canary');
    await mkdir(canary);
    await withTarget(async (target) => {
      const place = made && `${canary}/made\n`;
      expect(await places(target, `${way}${canary}`)).toEqual([place, place]);
    });
    expect(await readdir(folder.path, { recursive: true })).toEqual(['canary']);
  });

  test('to a bind, and from there out of it', async () => {
    await using folder = await tempFolder();
    const source = join(folder.path, 'source');
    await mkdir(source);
    await symlink('../..', join(source, 'up'));
    await symlink(folder.path, join(source, 'out'));
    const mounts = [{ type: 'bind' as const, source, target: '/b/c' }];
    await withTarget(async (target) => {
      const look = (to: string) => places(target, `/b/c/${to}`, mounts);
      expect(await look('up')).toEqual(['/made\n', '/made\n']);
      const out = `${folder.path}/made\n`;
      expect(await look('out')).toEqual([out, out]);
      expect(await readdir(folder.path)).toEqual(['source']);
      expect((await readdir(source)).sort()).toEqual(['out', 'up']);
      // The bind itself is the container's, and so is what is made in it.
      expect(await look('')).toEqual(['/b/c/made\n', '/b/c/made\n']);
      expect((await readdir(source)).sort()).toEqual(['made', 'out', 'up']);
    });
  });

  test('for a further process none is made', async () => {
    await withTarget(async (target) => {
      await using box = await target.sleeper();
      expect(await unlessRefused(box.exec(['true'], { cwd: '/tmp/made' }))).toBe(false);
      expect((await box.exec(['ls', '/tmp'])).stdout).toBe('');
    });
  });
});

// CVE-2025-31133, CVE-2025-52565: what is opened as /dev/null is a file of somebody's.
attack('a /dev/null that is none', 'kNullDevice', async (target) => {
  await using folder = await tempFolder();
  await writeFile(join(folder.path, 'null'), 'canary');
  const mounts = [{ type: 'bind' as const, source: folder.path, target: '/dev' }];
  const read = await unlessRefused(target.run(await target.image(), ['cat'], { mounts }));
  return read === 'canary';
});

attack('what is masked is read', 'kMasks', async (target) => {
  const files = ['interrupts', 'keys', 'timer_list', 'sched_debug'].map((name) => `/proc/${name}`);
  const script = `head -c 20 ${files.join(' ')} 2>/dev/null`;
  return (await target.run(target.host, ['sh', '-c', `${script} | grep -v '^==>'`])).trim() !== '';
});

attack('what is read-only is written to', 'kReadOnlyPaths', async (target) => {
  const script = '(: >> /proc/sys/net/ipv4/ip_forward) 2>/dev/null && echo opened; true';
  const security = { capAdd: ['NET_ADMIN'] };
  return (await target.run(target.host, ['sh', '-c', script], { security })) === 'opened\n';
});

describe.skipIf(missing('root') !== null)('device nodes', () => {
  attack('of an image', 'kNoDevices', async (target) => {
    const image = await target.image(async (root) => {
      await rm(join(root, 'node'), { force: true });
      execFileSync('mknod', [join(root, 'node'), 'c', '1', '5']);
    });
    return (await target.run(image, ['sh', '-c', 'head -c 1 /node | wc -c'])).trim() === '1';
  });

  attack('made inside', 'kDeviceRules', async (target) => {
    const script = 'mknod /dev/own c 10 237 && (: < /dev/own) 2>/dev/null && echo opened; true';
    return (await target.run(target.host, ['sh', '-c', script])) === 'opened\n';
  });
});
