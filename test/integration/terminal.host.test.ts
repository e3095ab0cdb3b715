import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect } from 'vitest';

import { read } from '../helpers/chaos.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { startPrograms } from '../helpers/program.js';
import { tempStore } from '../helpers/temp.js';

const { describe, test } = needs('native', 'userns');

/** Gives what it starts a terminal of this machine. */
const ON_A_TERMINAL = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';
const programs = startPrograms({ prefix: ['/usr/bin/python3', '-c', ON_A_TERMINAL] });
checkLeaks();

/** Kernels may be told to keep it from all but CAP_SYS_ADMIN (6.2). */
const ALLOWED = read('/proc/sys/dev/tty/legacy_tiocsti').trim() !== '0';

/** TIOCSTI types for the user of a terminal: tried on every one that can be had. */
const ATTACK = `
import fcntl, glob, os, termios
typed = 0
names = ['/dev/tty', '/dev/console', '/dev/tty0', '/dev/stdin', '/dev/stdout', '/dev/stderr']
fds = [0, 1, 2]
for name in names + glob.glob('/dev/pts/[0-9]*') + glob.glob('/proc/[0-9]*/fd/*'):
    try: fds.append(os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError: pass
for fd in fds:
    try:
        for key in b'evil\\n': fcntl.ioctl(fd, termios.TIOCSTI, bytes([key]))
        typed += 1
    except OSError: pass
print('typed on', typed)`;

/** Runs the attack here, then in every kind of container; says what came in on this program's own terminal. */
const PROGRAM = `
  import { execFileSync } from 'node:child_process';
  const [options, attack] = JSON.parse(process.argv[1]);
  const { Container, Image, Runtime } = caisson;
  const image = Image.host();
  const argv = ['/usr/bin/python3', '-c', attack];
  let heard = '';
  process.stdin.on('data', (bytes) => (heard += bytes)).unref();
  const tell = async (name, said) => {
    await new Promise((later) => setTimeout(later, 100));
    console.log('<' + name + '|' + said.trim() + '|' + heard.trim() + '>');
    heard = '';
  };
  const read = async (stream) => { let all = ''; for await (const bytes of stream) all += bytes; return all; };
  await tell('here', execFileSync(argv[0], argv.slice(1), { stdio: ['inherit', 'pipe', 'inherit'] }).toString());

  const runtime = await Runtime.open(options);
  await tell('run', (await Container.run(image, argv, { runtime })).stdout);
  const box = await Container.start({ image, runtime, argv: ['sleep', '1000'] });
  await tell('exec', (await box.exec(argv)).stdout);
  await tell('spawn', await read((await box.spawn(argv)).stdout));
  const own = await read((await box.spawn(argv, { tty: true })).stdout);
  await tell('tty', own.slice(own.indexOf('typed')));
  const line = ['sh', '-c', 'read x; exec "$@"', 'sh', ...argv];
  const started = await Container.start({ image, runtime, argv: line, tty: true });
  const process1 = await started.attach();
  process1.stdin.write('go\\n');
  const [shown] = await Promise.all([read(process1.stdout), process1.exited]);
  await tell('start', shown.slice(shown.indexOf('typed')));
  await runtime.close();
  process.exit(0);`;

describe('the terminal of the program', () => {
  test('is out of reach of every container', { timeout: 60_000 }, async () => {
    const store = await tempStore();
    const program = programs.start(PROGRAM, [JSON.stringify([store.options, ATTACK])]);
    const [shown] = await Promise.all([text(program.stdout), once(program, 'close')]);
    await store.remove();
    const told = new Map(
      [...shown.matchAll(/<(\w+)\|typed on (\d+)\s*[^|]*\|([^>]*)>/g)].map(
        ([, name, typed, heard]) => [name, { typed: Number(typed), heard }],
      ),
    );
    expect([...told.keys()], shown).toEqual(['here', 'run', 'exec', 'spawn', 'tty', 'start']);
    // The attack does work where it is not stopped.
    if (ALLOWED) expect(told.get('here')!.heard, shown).toContain('evil');
    for (const name of ['run', 'exec', 'spawn']) {
      expect(told.get(name)).toEqual({ typed: 0, heard: '' });
    }
    for (const name of ['tty', 'start']) {
      expect(told.get(name)!.heard).toBe('');
      if (ALLOWED) expect(told.get(name)!.typed).toBeGreaterThan(0); // on its own
    }
  });
});
