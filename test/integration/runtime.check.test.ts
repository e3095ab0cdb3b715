import { chmod, copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';

import { checkHost } from '../../lib/host/check.js';
import { asUser, finished, USER_ID } from '../helpers/as-user.js';
import { CheckBench, failing, inMounts, shell, type Where } from '../helpers/check.js';
import { checkLeaks } from '../helpers/leak.js';
import { missing, needs } from '../helpers/needs.js';
import { tempFolder } from '../helpers/temp.js';

// What the host lacks is brought about for one process tree: in a mount, pid or user namespace of its own,
// under a filter, without a capability. The machine itself is not touched.
const { describe, test } = needs('root', 'unshare', 'asUser', 'userns', 'compiler', 'supervisor');

let bench: CheckBench;
let deny: string;

checkLeaks();

beforeAll(async () => {
  bench = await CheckBench.make('root');
  deny = bench.deny;
});
afterAll(() => bench.folder.remove());

const items = (prefix: string[], where?: Where) => bench.items(prefix, where);

describe('on a host that lacks nothing', () => {
  test('root: no item fails, and nothing is left', async () => {
    const report = await checkHost({ ...paths(), mode: 'root' });
    expect(report.items.filter((item) => item.level === 'fail')).toEqual([]);
    expect(report.ok).toBe(true);
    expect(await leftovers()).toEqual([]);
  });

  test('an ordinary user: no item fails', async () => {
    await using home = await tempFolder({ uid: USER_ID });
    const found = await items(asUser([]), {
      mode: 'rootless',
      root: join(home.path, 'deep/er/store'),
      runDir: join(home.path, 'run'),
    });
    expect(failing(found)).toEqual([]);
    expect(await readdir(home.path)).toEqual([]);
  });

  test('a check that is stopped half-way leaves nothing either', async () => {
    for (const timeoutMs of [2, 4, 6, 8]) {
      await checkHost({ ...paths(), mode: 'root', timeoutMs });
      expect(await leftovers()).toEqual([]);
    }
  });
});

const paths = () => ({ supervisor: bench.supervisor, root: bench.root, runDir: bench.runDir });

async function leftovers(): Promise<string[]> {
  return (await readdir(bench.folder.path)).filter(
    (name) => name.startsWith('.') || name === 'store',
  );
}

describe('user namespaces', () => {
  // These two switches are not in every kernel: what the kernel would answer is put up by a filter, what it
  // is asked for by a file in its place.
  const pretend = (setting: string, value: string): string[] => [
    ...inMounts(`mount -t tmpfs none /proc/sys/kernel; echo ${value} >/proc/sys/kernel/${setting}`),
  ];

  test('kernel.unprivileged_userns_clone = 0', async () => {
    const found = await items(
      [...pretend('unprivileged_userns_clone', '0'), ...asUser([deny, 'EPERM', 'unshare', '--'])],
      { mode: 'rootless' },
    );
    expect(found.get('user-namespaces')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('unprivileged_userns_clone is 0') as string,
      fix: expect.stringContaining('kernel.unprivileged_userns_clone=1') as string,
    });
  });

  test("AppArmor's rule: the fix is a profile for the path of the supervisor", async () => {
    const restricted = pretend('apparmor_restrict_unprivileged_userns', '1');
    const refused = await items([...restricted, ...asUser([deny, 'EPERM', 'unshare', '--'])], {
      mode: 'rootless',
    });
    expect(refused.get('user-namespaces')).toMatchObject({
      level: 'fail',
      fix: expect.stringContaining(
        `profile caisson-supervisor ${bench.supervisor} flags=(unconfined)`,
      ) as string,
    });
    // Ubuntu lets the namespace be made and takes what it is for.
    const toothless = await items([...restricted, ...asUser([deny, 'EPERM', 'mount', '--'])], {
      mode: 'rootless',
    });
    expect(toothless.get('user-namespaces')?.ok).toBe(true);
    expect(toothless.get('mount-in-user-namespace')?.fix).toContain('apparmor_parser -r');
  });

  test.skipIf(missing('usernsClone') !== null)(
    'the real kernel.unprivileged_userns_clone',
    async () => {
      const set = (value: number) =>
        finished(['sysctl', '-w', `kernel.unprivileged_userns_clone=${value}`]);
      await set(0);
      try {
        const found = await items(asUser([]), { mode: 'rootless' });
        expect(found.get('user-namespaces')?.detail).toContain(
          'unprivileged_userns_clone is 0 (EPERM)',
        );
      } finally {
        await set(1);
      }
    },
  );

  test('in a chroot', async () => {
    const jail = join(bench.folder.path, 'jail');
    await mkdir(join(jail, 'proc'), { recursive: true });
    await copyFile(bench.supervisor, join(jail, 'check'));
    await chmod(join(jail, 'check'), 0o755);
    const line = `mount -t proc proc ${jail}/proc; shift; exec chroot --userspec=${USER_ID}:${USER_ID} ${jail} /check "$@"`;
    const found = await items(['unshare', '--mount', 'sh', '-ec', line, 'sh'], {
      mode: 'rootless',
    });
    expect(found.get('user-namespaces')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('chroot') as string,
    });
  });
});

describe('an outer seccomp filter', () => {
  for (const mode of ['root', 'rootless'] as const) {
    const as = (argv: string[]): string[] => (mode === 'root' ? argv : asUser(argv));

    test(`${mode}: clone3 answers ENOSYS`, async () => {
      const found = await items(as([deny, 'ENOSYS', 'clone3', '--']), { mode });
      expect(found.get('outer-seccomp')).toMatchObject({
        level: 'fail',
        detail: expect.stringMatching(/outer seccomp filter forbids clone3 \(ENOSYS\)/) as string,
        fix: expect.stringContaining('seccomp=unconfined') as string,
      });
      expect(found.get('clone3')?.detail).toContain('outer seccomp filter');
    });

    test(`${mode}: unshare answers EPERM`, async () => {
      const found = await items(as([deny, 'EPERM', 'unshare', '--']), { mode });
      expect(found.get('outer-seccomp')?.detail).toMatch(/forbids.* unshare/);
      const item = found.get(mode === 'root' ? 'namespaces' : 'user-namespaces');
      expect(item).toMatchObject({
        level: 'fail',
        detail: expect.stringContaining('outer seccomp filter') as string,
      });
    });
  }

  test('several calls are all named', async () => {
    const found = await items([
      deny,
      'EPERM',
      'fsopen',
      'ENOSYS',
      'openat2',
      'EPERM',
      'keyctl',
      '--',
    ]);
    expect(found.get('outer-seccomp')?.detail).toMatch(/fsopen.*openat2|openat2.*fsopen/);
    for (const id of ['openat2', 'mount-api']) expect(found.get(id)?.level).toBe('fail');
    expect(found.get('keyring')?.level).toBe('note');
  });

  test('one that forbids nothing we need is fine', async () => {
    const found = await items([deny, '--']);
    expect(found.get('outer-seccomp')?.ok).toBe(true);
    expect(failing(found)).toEqual([]);
  });
});

describe('rights', () => {
  test('root without CAP_SYS_ADMIN', async () => {
    const found = await items(['setpriv', '--bounding-set', '-sys_admin', '--']);
    expect(found.get('capabilities')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('CAP_SYS_ADMIN') as string,
    });
    expect(found.get('namespaces')?.detail).toContain('CAP_SYS_ADMIN');
    expect(found.get('outer-seccomp')?.ok).toBe(true);
  });

  test('no_new_privs is a note', async () => {
    const found = await items(['setpriv', '--no-new-privs', '--']);
    expect(found.get('no-new-privs')).toMatchObject({
      ok: false,
      level: 'note',
      fix: expect.stringContaining('NoNewPrivileges') as string,
    });
    expect(failing(found)).toEqual([]);
  });
});

describe('inside another container', () => {
  test('a masked /proc', async () => {
    const found = await items(
      [...inMounts('mount --bind /dev/null /proc/version'), ...asUser([])],
      {
        mode: 'rootless',
      },
    );
    expect(found.get('proc')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('/proc/version') as string,
      fix: expect.stringContaining('systempaths=unconfined') as string,
    });
  });

  test('a covered /sys', async () => {
    const found = await items([...inMounts('mount -t tmpfs none /sys/devices'), ...asUser([])], {
      mode: 'rootless',
    });
    expect(found.get('sysfs')).toMatchObject({
      ok: false,
      detail: expect.stringContaining('/sys/devices') as string,
    });
  });

  test.skipIf(missing('cgroups') !== null)('read-only cgroups', async () => {
    const found = await items(
      inMounts(
        "grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5 | while read -r at; do mount -o remount,bind,ro $at; done",
      ),
    );
    expect(found.get('cgroups')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('read-only') as string,
    });
  });
});

describe.skipIf(missing('memfdNoexec') !== null)('vm.memfd_noexec', () => {
  const policy = (value: number, more = ''): string[] =>
    shell(`echo ${value} >/proc/sys/vm/memfd_noexec${more}`, '--pid', '--fork', '--mount-proc');

  test('1 does not matter', async () => {
    expect((await items(policy(1))).get('memfd-exec')?.ok).toBe(true);
  });

  test('2 is worked around, and said', async () => {
    expect((await items(policy(2))).get('memfd-exec')).toMatchObject({
      level: 'note',
      detail: expect.stringContaining('vm.memfd_noexec=2') as string,
      fix: expect.stringContaining('vm.memfd_noexec=1') as string,
    });
  });

  test('2 with a store and a run folder that forbid programs', async () => {
    const at = join(bench.folder.path, 'noexec');
    await mkdir(at);
    const found = await items(policy(2, `; mount -t tmpfs -o noexec none ${at}`), {
      root: at,
      runDir: at,
    });
    expect(found.get('memfd-exec')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('noexec') as string,
    });
  });
});

describe('the file system of the store', () => {
  let at: string;
  beforeAll(async () => {
    at = join(bench.folder.path, 'fs');
    await mkdir(at);
  });

  test('an overlay', async () => {
    const found = await items(
      inMounts(
        `mount -t tmpfs none ${at}; mkdir ${at}/l ${at}/u ${at}/w ${at}/m; ` +
          `mount -t overlay -o lowerdir=${at}/l,upperdir=${at}/u,workdir=${at}/w none ${at}/m`,
      ),
      { root: join(at, 'm/store') },
    );
    expect(found.get('overlay')).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(/on overlay is refused/) as string,
      fix: expect.stringContaining('volume') as string,
    });
  });

  test('one without extended attributes', async () => {
    const found = await items(inMounts(`mount -t ramfs none ${at}`), { root: join(at, 'store') });
    expect(found.get('extended-attributes')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('ramfs') as string,
    });
  });

  test('one without user attributes, for an ordinary user', async () => {
    const found = await items(
      [...inMounts(`mount -t ramfs none ${at}; chmod 777 ${at}`), ...asUser([])],
      { mode: 'rootless', root: join(at, 'store') },
    );
    expect(found.get('extended-attributes')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('user.*') as string,
    });
  });

  test('read-only', async () => {
    const found = await items(inMounts(`mount -t tmpfs -o ro none ${at}`), {
      root: join(at, 'store'),
    });
    expect(found.get('store')?.detail).toMatch(/EROFS/);
    expect(found.get('overlay')?.detail).toMatch(/^not tried/);
  });

  test('not ours', async () => {
    const found = await items(asUser([]), { mode: 'rootless', root: '/root/store' });
    expect(found.get('store')).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(/EACCES/) as string,
    });
  });

  test('full, and nearly full', async () => {
    const full = await items(inMounts(`mount -t tmpfs -o size=8m none ${at}`), { root: at });
    expect(full.get('disk-space')).toMatchObject({ level: 'fail' });
    const low = await items(inMounts(`mount -t tmpfs -o size=256m none ${at}`), { root: at });
    expect(low.get('disk-space')).toMatchObject({ level: 'note' });
  });

  test('a run folder on the same terms', async () => {
    const found = await items(inMounts(`mount -t tmpfs -o ro none ${at}`), {
      runDir: join(at, 'run'),
    });
    expect(found.get('run-folder')).toMatchObject({
      level: 'fail',
      fix: expect.stringContaining('runDir') as string,
    });
  });
});

describe('the check itself never throws', () => {
  const script = async (name: string, text: string, mode = 0o755): Promise<string> => {
    const path = join(bench.folder.path, name);
    await writeFile(path, text, { mode });
    return path;
  };
  const check = (path: string | (() => string), timeoutMs = 5_000) =>
    checkHost({ ...paths(), supervisor: path, mode: 'root', timeoutMs });

  test('no supervisor', async () => {
    const report = await check('/nonexistent/caisson-supervisor');
    expect(report.ok).toBe(false);
    expect(report.items[0]).toMatchObject({
      id: 'supervisor',
      fix: expect.stringContaining('npx caisson build') as string,
    });
  });

  test('a loader that throws', async () => {
    const report = await check(() => {
      throw new Error('not built');
    });
    expect(report.items).toMatchObject([{ id: 'supervisor', level: 'fail', detail: 'not built' }]);
  });

  test('one that cannot be executed, hangs, dies, or talks nonsense', async () => {
    expect((await check(await script('plain', 'x', 0o644))).items[0]?.id).toBe('supervisor');
    const hangs = await check(await script('hangs', '#!/bin/sh\nexec sleep 60\n'), 200);
    expect(hangs.items[0]).toMatchObject({
      id: 'check',
      detail: expect.stringContaining('200 ms') as string,
    });
    const stubborn = await script(
      'stubborn',
      '#!/bin/sh\ntrap "" TERM\nwhile :; do read -r x </dev/zero; done\n',
    );
    expect((await check(stubborn, 100)).items[0]?.id).toBe('check');
    expect(
      (await check(await script('dies', '#!/bin/sh\nkill -9 $$\n'))).items[0]?.detail,
    ).toContain('SIGKILL');
    const nonsense = await check(
      await script('nonsense', '#!/bin/sh\nprintf "a\\tb\\n\\n\\tx\\ty\\tz\\tq\\n"\n'),
    );
    expect(nonsense.items.map((item) => item.id)).toEqual(['kernel']);
  });
});
