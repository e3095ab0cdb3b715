import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { expect } from 'vitest';

import { checkLeaks } from './helpers/leak.js';
import { limitable } from './helpers/limitable.js';
import { needs } from './helpers/needs.js';
import { repository } from './helpers/native.js';
import { tempFolder } from './helpers/temp.js';

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
      check(await run(join(repository, 'examples', name)));
    });
  }

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

  test(
    'shell.mjs feels like a shell, and leaves the terminal as it was',
    { timeout: 60_000 },
    async () => {
      const shell = `${process.execPath} ${join(repository, 'examples', 'shell.mjs')} bash --norc`;
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

/** Runs a program to its end and returns what it printed; a bad end or any word on stderr throws. */
function run(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [file], { timeout: 50_000 }, (error, stdout, stderr) => {
      if (error === null && stderr === '') resolve(stdout);
      else reject(new Error(`${file} ended badly\n${stdout}${stderr}`, { cause: error }));
    });
  });
}
