import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { oneId, rejection, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

// What a new user gets wrong: each is a clear error, nothing is left, nothing hangs.
const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();

const run = (argv: string[], options: object = {}): Promise<unknown> =>
  Container.run(t.image, argv, { runtime: t.runtime, ...options });

/** An image of a busybox root that `change` has been at. */
async function imageOf(change: (root: string) => Promise<unknown>): Promise<Image> {
  await using folder = await tempFolder();
  await busyboxRootfs(folder.path);
  await change(folder.path);
  return await Image.fromRootfs(folder.path, {}, { runtime: t.runtime });
}

const script = (path: string, text: string) => async (root: string) => {
  await writeFile(join(root, path), text);
  await chmod(join(root, path), 0o755);
};

describe('the command', () => {
  test('is missing', async () => {
    expect(await rejection(run(['nonesuch']))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
      details: { command: 'nonesuch', searched: expect.stringContaining('/usr/bin') as string },
      cause: { code: 'ENOENT' },
    });
    expect(await rejection(run(['/no/such']))).toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect(await rejection(run(['/etc/passwd/x']))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
    expect(await rejection(run(['x'.repeat(300)]))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
    });
    // A line is not a command: the hint says what to write.
    expect(await rejection(run(['echo hello']))).toMatchObject({
      code: 'ERR_COMMAND_NOT_FOUND',
      hint: expect.stringContaining('sh') as string,
    });
  });

  test('is not executable', async () => {
    for (const command of ['/etc/passwd', '/usr', '/']) {
      expect(await rejection(run([command]))).toMatchObject({
        code: 'ERR_COMMAND_NOT_EXECUTABLE',
        details: { command, errno: 'EACCES' },
      });
    }
  });

  test('is for another machine, or nothing at all', async () => {
    const other = Buffer.alloc(64);
    other.write('\x7fELF\x02\x01\x01', 'latin1');
    other.writeUInt16LE(2, 16); // ET_EXEC
    other.writeUInt16LE(process.arch === 'x64' ? 183 : 62, 18);
    const image = await imageOf(async (root) => {
      await writeFile(join(root, 'bin/other'), other, { mode: 0o755 });
      await writeFile(join(root, 'bin/nothing'), 'no program\n', { mode: 0o755 });
      await writeFile(join(root, 'bin/empty'), '', { mode: 0o755 });
    });
    for (const command of ['/bin/other', '/bin/nothing', '/bin/empty']) {
      const call = Container.run(image, [command], { runtime: t.runtime });
      expect(await rejection(call)).toMatchObject({
        code: 'ERR_EXEC_FORMAT',
        details: { command },
      });
    }
  });

  test('is a script without its interpreter', async () => {
    const image = await imageOf(script('bin/lost', '#!/usr/bin/nonesuch\n'));
    const call = Container.run(image, ['/bin/lost'], { runtime: t.runtime });
    expect(await rejection(call)).toMatchObject({
      code: 'ERR_INTERPRETER_NOT_FOUND',
      details: { command: '/bin/lost' },
    });
  });

  test('there is none', async () => {
    const image = await imageOf(() => Promise.resolve());
    expect(await rejection(Container.run(image, undefined, { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'argv' },
    });
  });
});

describe('arguments', () => {
  test('NUL, a relative cwd', async () => {
    expect(await rejection(run(['echo', 'a\0b']))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'argv[1]' },
    });
    expect(await rejection(run(['pwd'], { cwd: 'relative' }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'cwd' },
    });
  });

  test('10 MB of env: the kernel’s limit is said', async () => {
    const env = Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [`V${i}`, 'x'.repeat(100_000)]),
    );
    expect(await rejection(run(['true'], { env }))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      details: { option: 'env', reason: expect.stringContaining('execve') as string },
    });
    // What the kernel takes gets through.
    const fits = Object.fromEntries(Object.entries(env).slice(0, 15));
    expect(await run(['sh', '-c', 'echo ${#V14}'], { env: fits })).toMatchObject({
      stdout: '100000\n',
    });
  });

  test('a cwd that is a file', async () => {
    expect(await rejection(run(['pwd'], { cwd: '/etc/passwd' }))).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { step: 'workdir', errno: 'ENOTDIR', path: '/etc/passwd' },
    });
  });
});

describe('users', () => {
  test('unknown', async () => {
    expect(await rejection(run(['id'], { user: 'nonesuch' }))).toMatchObject({
      code: 'ERR_USER_NOT_FOUND',
      details: { user: 'nonesuch' },
    });
    expect(await rejection(run(['id'], { user: '0:nonesuch' }))).toMatchObject({
      code: 'ERR_USER_NOT_FOUND',
    });
    expect(await rejection(run(['id'], { security: { groupAdd: ['nonesuch'] } }))).toMatchObject({
      code: 'ERR_USER_NOT_FOUND',
    });
  });

  test.runIf(oneId)('others than root have no id of ours', async () => {
    expect(await rejection(run(['id'], { user: 'nobody' }))).toMatchObject({
      code: 'ERR_UNSUPPORTED',
      details: { reason: expect.stringContaining('subordinate') as string },
    });
  });

  test.skipIf(oneId)('names and numbers of the image', async () => {
    const image = await imageOf(() => Promise.resolve());
    const id = async (user: string): Promise<string> => {
      const { stdout } = await Container.run(image, ['id'], { runtime: t.runtime, user });
      return stdout.trim();
    };
    expect(await id('app')).toBe('uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)');
    expect(await id('app:extra')).toMatch(/^uid=1000\(app\) gid=2000\(extra\)/);
    expect(await id('1234')).toMatch(/^uid=1234 gid=0/);
    expect(await id('1234:77')).toMatch(/^uid=1234 gid=77/);
  });
});

describe('root file systems', () => {
  test('without /proc, /sys and /dev', async () => {
    const image = await imageOf(() => Promise.resolve());
    const { stdout } = await Container.run(
      image,
      ['sh', '-c', 'ls /proc/self/stat /sys/class /dev/null >/dev/null && echo all there'],
      { runtime: t.runtime },
    );
    expect(stdout).toBe('all there\n');
  });

  test('/proc, /sys or /dev being links', async () => {
    for (const name of ['proc', 'sys', 'dev']) {
      const image = await imageOf((root) => symlink('/tmp', join(root, name)));
      const call = Container.run(image, ['ls', '/tmp'], { runtime: t.runtime });
      expect(await rejection(call)).toMatchObject({
        code: 'ERR_LAUNCH_FAILED',
        details: { step: 'mountTarget', path: `/${name}` },
      });
    }
  });

  test('a file where a folder is needed', async () => {
    const image = await imageOf((root) => writeFile(join(root, 'proc'), ''));
    const call = Container.run(image, ['true'], { runtime: t.runtime });
    expect(await rejection(call)).toMatchObject({
      code: 'ERR_LAUNCH_FAILED',
      details: { path: '/proc' },
    });
  });

  test('read-only, with and without the folders that are mounted over', async () => {
    const image = await imageOf(async (root) => {
      await rm(join(root, 'tmp'), { recursive: true });
      await mkdir(join(root, 'data'));
    });
    const call = Container.run(image, ['sh', '-c', 'touch /x /data/x /new/x; ls /new'], {
      runtime: t.runtime,
      security: { readOnlyRootfs: true },
      mounts: [
        { type: 'tmpfs', target: '/data' },
        { type: 'tmpfs', target: '/new' },
      ],
    });
    expect(await call).toMatchObject({
      stdout: 'x\n',
      stderr: expect.stringContaining('/x') as string,
    });
  });
});

test('an image that is not there', async () => {
  // Nobody listens there.
  const name = '127.0.0.1:1/nonesuch';
  expect(await rejection(Container.run(name, ['true'], { runtime: t.runtime }))).toMatchObject({
    code: 'ERR_REGISTRY_UNREACHABLE',
    details: { registry: '127.0.0.1:1' },
  });
  const id = 'a'.repeat(64);
  expect(await rejection(Container.run(id, ['true'], { runtime: t.runtime }))).toMatchObject({
    code: 'ERR_IMAGE_NOT_FOUND',
    details: { reference: id },
  });
  expect(
    await rejection(Container.run({} as never, ['true'], { runtime: t.runtime })),
  ).toMatchObject({ code: 'ERR_INVALID_ARGUMENT', details: { option: 'image' } });
  expect(await rejection(Container.run(t.image, ['true'], { runtime: {} as never }))).toMatchObject(
    { code: 'ERR_INVALID_ARGUMENT', details: { option: 'runtime' } },
  );
});
