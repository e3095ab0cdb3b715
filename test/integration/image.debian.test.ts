import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';

import { Container, Image, Runtime } from '../../lib/index.js';
import { asUser, finished, USER_ID } from '../helpers/as-user.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { programs } from '../helpers/program.js';
import { tempFolder, tempStore, type TempFolder, type TempStore } from '../helpers/temp.js';

// A whole distribution, made once by mmdebstrap from the machine's own package sources. Only root can make one;
// the last test gives it to an ordinary user.
const { describe, test } = needs('native', 'root', 'asUser', 'userns', 'mmdebstrap');

let folder: TempFolder;
let tree: string;
let store: TempStore;
let runtime: Runtime;

checkLeaks();
const userProgram = programs({ prefix: asUser([]) });

beforeAll(async () => {
  folder = await tempFolder();
  tree = join(folder.path, 'debian');
  await mmdebstrap(tree);
  store = await tempStore();
  await using first = await Runtime.open(store.options);
  await (await Image.fromRootfs(tree, {}, { runtime: first })).tag('debian');
}, 180_000);
afterAll(async () => {
  await store.remove();
  await folder.remove();
});
beforeEach(async () => {
  runtime = await Runtime.open(store.options);
});
afterEach(() => runtime.close());

async function mmdebstrap(target: string): Promise<void> {
  const release = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const sources = [
    'sources.list',
    'sources.list.d/debian.sources',
    'sources.list.d/ubuntu.sources',
  ];
  const { exitCode, stderr } = await finished(
    [
      ...['mmdebstrap', '--variant=minbase', '--include=python3-minimal,perl'],
      ...['--dpkgopt=force-unsafe-io', release ?? 'bookworm', target],
      ...sources.map((name) => join('/etc/apt', name)).filter((path) => existsSync(path)),
    ],
    { timeoutMs: 170_000 },
  );
  if (exitCode !== 0) throw new Error(`mmdebstrap: ${stderr}`);
}

const run = (...argv: string[]) => Container.run('debian', argv, { runtime });
const sh = (line: string) => run('sh', '-ec', line);

describe('a Debian root', () => {
  test('apt knows its packages', async () => {
    expect(await run('apt-get', '--version')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^apt [\d.]+.* \(/) as string,
      stderr: '',
    });
    expect(await run('apt-get', 'check')).toMatchObject({ exitCode: 0, stderr: '' });
    const { stdout } = await run('apt-cache', 'policy', 'perl');
    expect(stdout).toMatch(/^perl:\n\s+Installed: 5\./);
    const list = await run('dpkg', '-l');
    expect(list.exitCode).toBe(0);
    const packages = list.stdout.match(/^ii {2}\S+/gm)?.map((line) => line.slice(4)) ?? [];
    expect(packages.length).toBeGreaterThan(80);
    expect(packages).toEqual(expect.arrayContaining(['apt', 'perl', 'python3-minimal']));
    expect(await run('dpkg', '--audit')).toMatchObject({ exitCode: 0, stdout: '' });
    // Modification times and contents are as the packages have them.
    expect(await run('dpkg', '--verify', 'perl-base', 'coreutils')).toMatchObject({
      exitCode: 0,
      stdout: '',
    });
  });

  test('a package is made, installed and removed, without a network', async () => {
    const result = await sh(`
      ${installed()}
      greeting
      dpkg-query -W -f '\${Status}, \${Version}\\n' greeting
      dpkg -L greeting | tail -n 1
      cat /var/lib/greeting/installed
      apt-get purge -y greeting >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
      test ! -e /usr/bin/greeting
      apt-get check >/dev/null`);
    expect(result).toMatchObject({
      exitCode: 0,
      stdout: 'hello from python\ninstall ok installed, 1.0\n/usr/bin/greeting\nconfigure as 0\n',
      stderr: '',
    });
    // Nothing of it is in the image.
    expect((await sh('test ! -e /pkg && test ! -e /var/lib/greeting')).exitCode).toBe(0);
  });

  test('apt-get install of what is not there fails as it does elsewhere', async () => {
    expect(await run('apt-get', 'install', '-y', 'no-such-package')).toMatchObject({
      exitCode: 100,
      stderr: expect.stringContaining('Unable to locate package no-such-package') as string,
    });
  });

  test('python and perl', async () => {
    const python =
      'import os, sys, subprocess; print(os.getpid(), sys.argv[1]); ' +
      'subprocess.run(["echo", "child"], check=True); sys.exit(7)';
    expect(await run('python3', '-uc', python, 'ü')).toMatchObject({
      exitCode: 7,
      stdout: '1 ü\nchild\n',
      stderr: '',
    });
    expect(await run('python3', '-c', 'raise ValueError("x")')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('ValueError: x') as string,
    });
    const perl =
      'use POSIX; use File::Temp; print getpid(), " ", -d File::Temp->newdir, "\\n"; ' +
      'print `echo child`; exit 9';
    expect(await run('perl', '-we', perl)).toMatchObject({
      exitCode: 9,
      stdout: '1 1\nchild\n',
      stderr: '',
    });
    expect((await run('perl', '-e', 'die "x\\n"')).exitCode).toBe(255);
  });

  test('users: id, su, setpriv, one that is added', async () => {
    expect((await run('id')).stdout).toBe('uid=0(root) gid=0(root) groups=0(root)\n');
    const { stdout, stderr, exitCode } = await sh(`
      su nobody -s /bin/sh -c id
      setpriv --reuid=www-data --regid=www-data --init-groups id
      useradd --create-home --groups games alice
      su - alice -c 'id -un; id -Gn; pwd; touch own; cat /etc/shadow 2>/dev/null || echo refused'
      stat -c '%U %G' ~alice/own`);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    expect(stdout.split('\n')).toEqual([
      'uid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)',
      'uid=33(www-data) gid=33(www-data) groups=33(www-data)',
      'alice',
      'alice games',
      '/home/alice',
      'refused',
      'alice alice',
      '',
    ]);
    const { stdout: asked } = await Container.run('debian', ['id'], { runtime, user: 'www-data' });
    expect(asked).toBe('uid=33(www-data) gid=33(www-data) groups=33(www-data)\n');
    expect((await run('su', 'nobody', '-s', '/bin/sh', '-c', 'exit 5')).exitCode).toBe(5);
  });

  test('an ordinary user imports and runs the same', async () => {
    execFileSync('rm', ['-rf', join(tree, 'dev')]); // its devices are root's
    execFileSync('chown', ['-hR', `${USER_ID}:${USER_ID}`, tree]);
    await using own = await tempStore({ uid: USER_ID });
    const line = `
      apt-get check >/dev/null
      dpkg -l perl | tail -n 1 | cut -d ' ' -f 1-3
      ${installed('-o APT::Sandbox::User=root')}
      greeting
      perl -e 'print "perl as $<\\n"'
      id`;
    const program = `
      const { Container, Image, Runtime } = caisson;
      const runtime = await Runtime.open(${JSON.stringify(own.options)});
      const image = await Image.fromRootfs(${JSON.stringify(tree)}, {}, { runtime });
      const result = await Container.run(image, ['sh', '-ec', ${JSON.stringify(line)}], { runtime });
      await runtime.close();
      process.stdout.write(result.stdout);
      process.stderr.write(result.stderr);
      process.exitCode = result.exitCode;`;
    expect(await userProgram(program)).toMatchObject({
      exitCode: 0,
      stdout: 'ii  perl\nhello from python\nperl as 0\nuid=0(root) gid=0(root) groups=0(root)\n',
      stderr: '',
    });
  });
});

/** Lines that make a package with a dependency and scripts of its maintainer's, and install it. */
const installed = (...options: string[]): string => `
  mkdir -p /pkg/DEBIAN /pkg/usr/bin
  printf '%s\\n' 'Package: greeting' 'Version: 1.0' 'Architecture: all' 'Depends: python3-minimal' \\
    'Maintainer: Nobody <nobody@example.org>' 'Description: says hello' >/pkg/DEBIAN/control
  printf '%s\\n' '#!/bin/sh' 'mkdir -p /var/lib/greeting' \\
    'echo "$1 as $(id -u)" >/var/lib/greeting/installed' >/pkg/DEBIAN/postinst
  printf '%s\\n' '#!/bin/sh' 'rm -rf /var/lib/greeting' >/pkg/DEBIAN/postrm
  printf '%s\\n' '#!/usr/bin/python3' 'print("hello from python")' >/pkg/usr/bin/greeting
  chmod 755 /pkg/DEBIAN/post* /pkg/usr/bin/greeting
  dpkg-deb --build --root-owner-group /pkg /tmp >/dev/null
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y ${options.join(' ')} /tmp/greeting_1.0_all.deb >/tmp/log 2>&1 ||
    { cat /tmp/log; exit 1; }`;
