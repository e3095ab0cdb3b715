import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeAll, expect } from 'vitest';

import { Runtime } from '../lib/index.js';
import { startRegistry, USER } from './helpers/docker-registry.js';
import { busyboxLayer, digestAt, gnuTar, imageRegistry } from './helpers/image-registry.js';
import { checkLeaks } from './helpers/leak.js';
import { limitable } from './helpers/limitable.js';
import { needs } from './helpers/needs.js';
import { repository } from './helpers/native.js';
import { fileFolder, tempFolder, tempStore } from './helpers/temp.js';

const { describe, test } = process.getuid?.() === 0 ? needs('native') : needs('native', 'userns');

/** What each file of examples/ prints; a new example needs a line here. */
const EXPECTED: Record<string, (stdout: string) => void> = {
  'hello.mjs': (stdout) => {
    const inside = stdout.slice(stdout.indexOf('in the container:'));
    expect(stdout).toContain(`on this machine: hostname ${hostname()}`);
    expect(inside).toMatch(/^hostname {4}\S+$/m);
    expect(inside).not.toContain(`hostname    ${hostname()}\n`);
    expect(inside).toMatch(/^ *pid {9}1$/m);
    expect(inside).toMatch(/^ *interfaces {2}lo *$/m);
    expect(inside).toMatch(/^ *user {8}0$/m);
    expect(inside).toContain('exit code 0');
  },
  'sandbox.mjs': (stdout) => {
    const lines = stdout.trim().split('\n');
    expect(lines.slice(0, -1).every((line) => line.endsWith(': refused'))).toBe(true);
    expect(lines).toHaveLength(7);
    expect(lines.at(-1)).toBe('do its work: done, 42');
  },
  'limits.mjs': (stdout) => {
    if (!limitable('memory')) {
      expect(stdout).toMatch(/^limits\.memoryBytes is not supported: .*\n.*Delegate=yes/);
      return;
    }
    expect(stdout).toMatch(/^hog: oom, \d+ MiB at most$/m);
    expect(stdout).toContain('its neighbour: still here\n');
    expect(stdout).toContain('fork bomb: no more than five\n');
    expect(stdout).toContain('busy loop: timeout, a quarter of a processor\n');
  },
  'streaming.mjs': (stdout) => {
    expect(stdout).toBe('stdout: 99997, 99998, 99999\nstderr: sorted\nexited with code 0\n');
  },
  'untrusted-script.mjs': (stdout) => {
    expect(stdout).toBe(
      [
        'honest: exit code 0; 42',
        'endless: timeout; working …',
        'talkative: timeout; 4096 bytes kept',
        'calling home: exit code 0; no network: ENETUNREACH',
        'nosy: exit code 0; nothing there',
        '',
      ].join('\n'),
    );
  },
  'shell.mjs': (stdout) => {
    expect(stdout).toBe('shell.mjs is for a terminal\n');
  },
  'pull.mjs': (stdout) => {
    expect(stdout).toBe('usage: pull.mjs IMAGE [COMMAND...]\n');
  },
  'push.mjs': (stdout) => {
    expect(stdout).toBe('usage: push.mjs IMAGE REGISTRY/NAME:TAG\n');
  },
  'air-gap.mjs': (stdout) => {
    expect(stdout).toBe('usage: air-gap.mjs save IMAGE FILE | load FILE [STORE]\n');
  },
  'test-fixture.mjs': (stdout) => {
    expect(stdout).toMatch(/^(# |ℹ )pass 2$/m);
    expect(stdout).toMatch(/^(# |ℹ )fail 0$/m);
  },
};

describe('examples', () => {
  checkLeaks();

  for (const name of readdirSync(join(repository, 'examples'))) {
    test(`${name} runs and leaves nothing`, { timeout: 60_000 }, async () => {
      const check = EXPECTED[name];
      if (check === undefined) throw new Error(`test/examples.test.ts does not know ${name}`);
      check(await run(example(name)));
    });
  }

  test(
    'shell.mjs feels like a shell, and leaves the terminal as it was',
    { timeout: 60_000 },
    async () => {
      const shell = `${process.execPath} ${example('shell.mjs')} bash --norc`;
      const line = `stty rows 33 cols 99; ${shell}; echo "code=$?"; stty -a`;
      const all = await onTerminal(line, [
        [/[$#] /, 'stty size; tty; sleep 1001\r'],
        [/33 99\s+\/dev\/pts\/\d+/, '\x1a'],
        [/Stopped/, '\x10\x11'],
        [/Enter comes back/, '\rkill -9 %1; wait -f %1; echo back\r'],
        [/^back/m, '\x10x\x15exit 5\r'], // a Ctrl-P alone is the shell's
      ]);
      expect(all).toContain('code=5');
      expect(all).toMatch(/ icanon.* echo /s);

      const killed = await onTerminal(`timeout --foreground -s TERM 2 ${shell}; stty -a`, [
        [/[$#] /, ''],
      ]);
      expect(killed).toMatch(/ icanon.* echo /s);
    },
  );

  test('the example of the README runs as it stands there', { timeout: 60_000 }, async () => {
    const readme = readFileSync(join(repository, 'README.md'), 'utf8');
    const code = /^```js\n(.*?)^```$/ms.exec(readme)?.[1] ?? '';
    expect(code).toContain("from 'caisson'");

    // Beside a link to the package, as in a project that installed it.
    const project = await tempFolder();
    const file = join(project.path, 'example.mjs');
    mkdirSync(join(project.path, 'node_modules'));
    symlinkSync(repository, join(project.path, 'node_modules', 'caisson'));
    writeFileSync(file, code);
    try {
      const stdout = await run(file);
      expect(stdout).toContain("[ 'mine', 'pid 1', 'lo' ]");
      expect(stdout).toContain('a value; quoted\n');
      expect(stdout).toContain('STREAMED\n');
      expect(stdout).toMatch(/exitCode: 0,/);
    } finally {
      await project.remove();
    }
  });
});

describe('examples with a registry', { timeout: 60_000 }, () => {
  const { test } = needs('registry', 'skopeo', 'busybox');
  const folder = fileFolder('examples');
  const r = imageRegistry(folder);
  const [pull, push, airGap] = ['pull', 'push', 'air-gap'].map((name) => example(`${name}.mjs`));
  let name = '';
  checkLeaks();

  beforeAll(async () => {
    const layers = [busyboxLayer(folder), gnuTar(folder, { text: 'from afar\n' }, 'text')];
    name = await r.publish({ layers, config: { Cmd: ['/bin/cat', '/text'] } });
  });
  // They use the usual store.
  afterEach(async () => {
    await using runtime = await Runtime.open();
    for (const image of await runtime.images.list()) {
      if (image.tags.some((tag) => tag.startsWith(r.proxy.host))) await image.remove();
    }
  });

  test('pull.mjs pulls and runs', async () => {
    expect(await run(pull!, name)).toMatch(/: 2 layers, \d+ MB unpacked\nfrom afar\n$/);
    expect(await run(pull!, name, '/bin/ls', '/text')).toMatch(/\n\/text\n$/);
  });

  test('pull.mjs on a terminal shows how far each layer is, in lines that stay', async () => {
    const all = await onTerminal(`${process.execPath} ${pull} ${name}`, []);
    const [progress = '', rest = ''] = all.split(`${name}: 2 layers`);
    expect(progress).toMatch(/^[0-9a-f]{12} {2}waiting +0 %\r\n/m);
    expect(progress).toMatch(/^[0-9a-f]{12} {2}done +100 %\r\n/m);
    // Each time over the lines of before; nothing of them is left.
    expect(progress.split('\x1b[J').slice(1, -1)).toSatisfy((screens: string[]) =>
      screens.every((screen) => {
        const lines = screen.split('\r\n').length - 1;
        return lines >= 1 && lines <= 2 && screen.endsWith(`\x1b[${lines}A`);
      }),
    );
    expect(progress.endsWith('\x1b[J')).toBe(true);
    expect(rest).toContain('from afar');
  });

  test('push.mjs pushes to a registry that wants a name and a password', async () => {
    await using registry = await startRegistry(join(folder, 'private'), { auth: 'htpasswd' });
    const target = `${registry.host}/team/app:1`;
    const env = {
      ...process.env,
      REGISTRY_USER: USER.username,
      REGISTRY_PASSWORD: USER.password,
      DOCKER_CONFIG: folder,
    };
    const denied = await ended(push!, [name, target], { ...env, REGISTRY_PASSWORD: 'wrong' });
    expect(denied).toMatchObject({ code: 1, stderr: '' });
    expect(denied.stdout).toContain(registry.host);
    expect(denied.stdout).toContain('401');

    const { stdout, stderr } = await ended(push!, [name, target], env);
    expect(stderr).toBe('');
    expect(stdout.match(/: sent, \d+ kB$/gm)).toHaveLength(3);
    expect(stdout).toContain(`${target}@${digestAt(r.direct(name))}\n`);
    expect((await ended(push!, [name, target], env)).stdout.match(/: is there$/gm)).toHaveLength(3);
  });

  test('air-gap.mjs carries an image to a store that no registry is near', async () => {
    const file = join(folder, 'image.tar');
    expect(await run(airGap!, 'save', name, file)).toMatch(
      /image\.tar: .*, sha256:[0-9a-f]{64}\n$/,
    );
    const asked = r.proxy.seen.length;
    await using store = await tempStore();
    const loaded = await run(airGap!, 'load', file, store.root);
    expect(loaded).toMatch(/^127\.0\.0\.1:\d+\/image-1:1: sha256:[0-9a-f]{64}\nfrom afar\n$/);
    expect(r.proxy.seen).toHaveLength(asked);
  });
});

/** What a shell on a terminal shows that runs `line` there, when this is typed as soon as that is seen. */
async function onTerminal(
  line: string,
  typed: [seen: string | RegExp, keys: string][],
): Promise<string> {
  const pty = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';
  const child = spawn('/usr/bin/python3', ['-c', pty, 'sh', '-c', line], { timeout: 50_000 });
  let [all, shown] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => {
    all += bytes.toString();
    shown += bytes.toString();
    const next = typed[0];
    const at = next === undefined ? -1 : shown.search(next[0]);
    if (next === undefined || at < 0) return;
    typed.shift();
    shown = '';
    setTimeout(() => child.stdin.write(next[1]), 500); // what is to hear it has begun by then
  });
  await once(child, 'close');
  expect(typed, JSON.stringify(all)).toEqual([]);
  return all;
}

const example = (name: string): string => join(repository, 'examples', name);

/** Runs a program to its end and returns what it printed; a bad end or any word on stderr throws. */
async function run(file: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await ended(file, args);
  if (code === 0 && stderr === '') return stdout;
  throw new Error(`${file} ended badly\n${stdout}${stderr}`);
}

function ended(
  file: string,
  args: readonly string[],
  env = process.env,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], { timeout: 50_000, env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    );
  });
}
