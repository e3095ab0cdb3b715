import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';

import { Container, Image } from '../../lib/index.js';
import { repository } from '../helpers/native.js';
import { needs } from '../helpers/needs.js';
import { busyboxRootfs } from '../helpers/rootfs.js';
import { rejection, rootless, testRuntime } from '../helpers/runtime.js';
import { tempFolder } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns', 'busybox');
const t = testRuntime();

const run = (image: string | Image, line: string) =>
  Container.run(image, ['sh', '-c', line], { runtime: t.runtime });

const scripts = join(repository, 'test/native/import');

/** Digest of the canonical tar stream of a folder, by the second implementation. */
const canonicalDigest = (folder: string): string => {
  const line = 'python3 "$0" "$1" | sha256sum';
  const args = ['-c', line, join(scripts, 'canonical_tar.py'), folder];
  return execFileSync('sh', args, { encoding: 'utf8' }).slice(0, 64);
};

describe('Image.host', () => {
  test('shows programs, users and certificates of this machine, read-only', async () => {
    const { stdout, stderr } = await run(
      Image.host(),
      'id -un; for f in /usr/x /bin/x /etc/passwd; do echo > $f; done; test -e /bin/sh && echo sh',
    );
    expect(stdout).toBe('root\nsh\n');
    expect(stderr.match(/Read-only file system/g)).toHaveLength(3);
    expect(existsSync('/usr/x')).toBe(false);
  });

  test('and nothing that is secret or of somebody', async () => {
    const { stdout } = await run(
      Image.host(),
      'ls -A /root /home /tmp /var/tmp /etc | sort; ls -d /etc/shadow* /etc/ssh /etc/ssl/private /etc/machine-id /boot /srv /mnt',
    );
    expect(stdout).not.toMatch(/shadow|ssh|private|machine-id|boot|srv|mnt/);
  });

  test('its root is fresh, writable, and gone afterwards', async () => {
    const line =
      'ls /root /tmp /var/tmp; for d in / /root /tmp /var /var/tmp /etc; do echo > $d/new || exit 1; done';
    // All there is, and only should node itself lie there.
    const node = /^\/tmp\/([^/]+)/.exec(process.execPath)?.[1]?.concat('\n') ?? '';
    for (let i = 0; i < 2; i++) {
      const { exitCode, stdout } = await run(Image.host(), line);
      expect([exitCode, stdout]).toEqual([0, `/root:\n\n/tmp:\n${node}\n/var/tmp:\n`]);
    }
  });

  test('the running node runs, wherever it is', async () => {
    const { stdout } = await Container.run(Image.host(), ['node', '-p', 'process.version'], {
      runtime: t.runtime,
    });
    expect(stdout).toBe(`${process.version}\n`);
  });

  test('paths are added, read-only; what is below them on this machine too', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'a'), 'text');
    const image = Image.host({ paths: [folder.path] });
    const { stdout, exitCode } = await run(image, `cat ${folder.path}/a; echo > ${folder.path}/b`);
    expect([stdout, exitCode]).toEqual(['text', 2]);
    expect(() => Image.host({ paths: [`${folder.path}/absent`] })).toThrow('does not exist');
  });

  test('writable is copy-on-write', async () => {
    const image = Image.host({ writable: ['/usr'] });
    const { stdout } = await run(
      image,
      'echo mine > /usr/new; cat /usr/new; ls /usr/bin | head -1',
    );
    expect(stdout).toMatch(/^mine\n./);
    expect(existsSync('/usr/new')).toBe(false);
    expect((await run(image, 'ls /usr/new')).exitCode).not.toBe(0);
  });

  test('is not an image of the store', async () => {
    const image = Image.host();
    expect(image.id).toMatch(/^host:[0-9a-f]{64}$/);
    expect(Image.host().id).toBe(image.id);
    expect(Image.host({ writable: ['/usr'] }).id).not.toBe(image.id);
    for (const refused of [
      image.tag('a'),
      image.untag('a'),
      image.inspect(),
      image.remove(),
      image.push('a'),
      image.history(),
      image.save().toArray(),
    ]) {
      expect(await rejection(refused)).toMatchObject({ code: 'ERR_UNSUPPORTED' });
    }
  });
});

describe('Image.fromRootfs', () => {
  test('runs, and later changes of the folder do not reach it', async () => {
    await using folder = await tempFolder();
    await busyboxRootfs(folder.path);
    await writeFile(join(folder.path, 'etc/motd'), 'before');
    const image = await Image.fromRootfs(
      folder.path,
      { Env: ['A=b'], Cmd: ['cat', '/etc/motd'], WorkingDir: '/tmp' },
      { runtime: t.runtime },
    );
    await writeFile(join(folder.path, 'etc/motd'), 'after');
    await rm(join(folder.path, 'bin'), { recursive: true });
    expect((await Container.run(image, undefined, { runtime: t.runtime })).stdout).toBe('before');
    const { stdout } = await run(image, 'echo $A; pwd; echo changed > /etc/motd');
    expect(stdout).toBe('b\n/tmp\n');
    expect((await Container.run(image, undefined, { runtime: t.runtime })).stdout).toBe('before');
    expect(image.sizeBytes).toBeGreaterThan(100_000);
    await image.remove();
  });

  test('keeps everything: the layer is named by the digest of its canonical tar', async () => {
    await using folder = await tempFolder();
    const tree = join(folder.path, 'tree');
    execFileSync('python3', [join(scripts, 'make_tree.py'), tree]);
    const image = await Image.fromRootfs(tree, {}, { runtime: t.runtime });
    const layers = await readdir(join(t.store.root, 'layers'));
    const [layer] = layers.filter((name) => /^[0-9a-f]{64}$/.test(name));
    if (!rootless) {
      expect(canonicalDigest(tree)).toBe(layer);
      expect(canonicalDigest(join(t.store.root, 'layers', layer!))).toBe(layer);
    }
    const sparse = await stat(join(t.store.root, 'layers', layer!, 'sparse'));
    expect(sparse.size).toBe(2 ** 27);
    expect(sparse.blocks * 512).toBeLessThan(2 ** 20);
    await image.remove();
    expect(await readdir(join(t.store.root, 'layers'))).not.toContain(layer);
    await chmod(join(tree, 'closed'), 0o755); // or an ordinary user could not remove it
  });

  test('a file that may not be read is named', async () => {
    if (!rootless) return; // root reads everything
    await using folder = await tempFolder();
    await mkdir(join(folder.path, 'etc'));
    await writeFile(join(folder.path, 'etc/secret'), 'x');
    await chmod(join(folder.path, 'etc/secret'), 0);
    // Its owner may, by the capabilities of the user namespace; so it must be somebody else's.
    const image = await Image.fromRootfs(folder.path, {}, { runtime: t.runtime });
    await image.remove();
    expect(await rejection(Image.fromRootfs('/etc', {}, { runtime: t.runtime }))).toMatchObject({
      code: 'ERR_IMPORT_FAILED',
      details: { errno: 'EACCES', source: '/etc', path: expect.stringMatching(/^\/etc\/./) },
    });
  });

  test('a failed and an aborted import leave nothing', async () => {
    await using folder = await tempFolder();
    await mkdir(join(folder.path, 'a'));
    await writeFile(join(folder.path, 'a/.wh.b'), '');
    const before = await readdir(join(t.store.root, 'layers'));
    expect(
      await rejection(Image.fromRootfs(folder.path, {}, { runtime: t.runtime })),
    ).toMatchObject({
      code: 'ERR_IMPORT_FAILED',
      details: { errno: 'EINVAL', path: join(folder.path, 'a/.wh.b') },
    });
    const signal = AbortSignal.timeout(1);
    const aborted = Image.fromRootfs(dirname(process.execPath), {}, { runtime: t.runtime, signal });
    expect(await rejection(aborted)).toMatchObject({ name: 'AbortError' });
    await expect
      .poll(() => readdir(join(t.store.root, 'layers')), { timeout: 20_000 })
      .toEqual(before);
  });
});

describe('the images of a store', () => {
  test('get, list, tag, remove', async () => {
    await using folder = await tempFolder();
    await busyboxRootfs(folder.path);
    const image = await Image.fromRootfs(
      folder.path,
      { Labels: { purpose: 'test' } },
      { runtime: t.runtime },
    );
    await image.tag('box:1');
    expect(image.tags).toEqual(['box:1']);
    expect((await run('box:1', 'echo $0')).stdout).toBe('sh\n');
    expect((await t.runtime.images.get('box:1')).id).toBe(image.id);
    const named = async (filter: object): Promise<string[]> =>
      (await Image.list({ runtime: t.runtime, filter })).map(({ id }) => id);
    expect(await named({ reference: 'box:1' })).toEqual([image.id]);
    expect(await named({ label: 'purpose=test' })).toEqual([image.id]);
    expect(await named({ label: 'purpose=other' })).toEqual([]);

    const container = await Container.create({
      runtime: t.runtime,
      image,
      argv: ['sh'],
      name: 'user-of-it',
    });
    expect(await rejection(image.remove())).toMatchObject({
      code: 'ERR_IMAGE_IN_USE',
      details: { reference: 'box:1', by: ['user-of-it'] },
    });
    await container.remove();
    await image.remove();
    expect(await rejection(t.runtime.images.get('box:1'))).toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    expect(await rejection(image.remove())).toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });

    // The same folder again, after its layer was there, used, and gone.
    const again = await Image.fromRootfs(folder.path, {}, { runtime: t.runtime });
    expect((await run(again, 'echo again')).stdout).toBe('again\n');
    await again.remove();
  });
});
