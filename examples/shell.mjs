// A shell in a container that feels like ssh: every key goes to it, it knows the size of the window, and
// has job control. Ctrl-P Ctrl-Q lets go of it, Enter comes back.
//
//   node examples/shell.mjs [COMMAND [ARGUMENT …]]
import { constants } from 'node:os';
import { finished } from 'node:stream/promises';
import { Container, Image } from 'caisson';

const { stdin, stdout } = process;
if (!stdin.isTTY || !stdout.isTTY) {
  console.log('shell.mjs is for a terminal');
  process.exit();
}

const [command = 'bash', ...rest] = process.argv.slice(2);
const size = () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });

const box = await Container.start({ image: Image.host(), argv: ['sleep', 'infinity'], init: true });
const shell = await box.spawn([command, ...rest], {
  tty: size(),
  cwd: '/root',
  env: { TERM: process.env.TERM ?? 'xterm' },
});

const [CTRL_C, CTRL_P, CTRL_Q] = [3, 16, 17];
let attached = false;
let held = false; // a Ctrl-P, until it is known what follows

function attach() {
  attached = true;
  stdin.setRawMode(true);
  shell.resize(size());
  shell.stdout.pipe(stdout, { end: false });
}

function detach() {
  attached = false;
  held = false;
  shell.stdout.unpipe(stdout);
  stdout.write('\r\n[let go: Enter comes back, Ctrl-C ends it]\r\n');
}

function onKeys(keys) {
  for (const key of keys) {
    if (!attached) {
      if (key === CTRL_C) shell.kill('SIGKILL');
      else if (key === 13) attach();
    } else if (held) {
      held = false;
      if (key === CTRL_Q) detach();
      else shell.stdin.write(Buffer.of(CTRL_P, key));
    } else if (key === CTRL_P) {
      held = true;
    } else {
      shell.stdin.write(Buffer.of(key));
    }
  }
}

// Whatever ends this program, the terminal is as it was.
const restore = () => stdin.setRawMode(false);
process.on('exit', restore);
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
  process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

try {
  stdin.on('data', onKeys);
  stdin.on('end', () => shell.kill('SIGHUP'));
  stdout.on('resize', () => shell.resize(size()));
  attach();
  const { exitCode, signal } = await shell.exited;
  if (attached) await finished(shell.stdout);
  process.exitCode = exitCode ?? 128 + constants.signals[signal];
} finally {
  restore();
  stdin.pause();
  await box.remove({ force: true });
}
