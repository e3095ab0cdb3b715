// needs: the native part; root, cgroup v1
import { expect } from 'vitest';

import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';
import { programs } from '../helpers/program.js';
import { tempStore } from '../helpers/temp.js';

const { describe, test } = needs('native', 'root', 'unshare', 'cgroup1');

// The freezer of v1 is used where there is no v2 beside it, whose own kills who stands still.
const WITHOUT_V2 = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
const program = programs({ prefix: ['unshare', '--mount', 'sh', '-c', WITHOUT_V2, 'sh'] });

const SCRIPT = `
  const { Container, Image, Runtime } = caisson;
  const runtime = await Runtime.open(JSON.parse(process.argv[1]));
  const box = await Container.start({ image: Image.host(), argv: ['sleep', '3000'], runtime });
  let ticks = 0;
  const clock = await box.spawn(['sh', '-c', 'while :; do echo tick; sleep 0.02; done']);
  clock.stdout.on('data', () => (ticks += 1));
  const tree = 'sleep 2000 & sleep 2000';
  const late = await box.spawn(['sh', '-c', tree], { timeoutMs: 300 });
  const killed = await box.spawn(['sh', '-c', tree]);
  await box.pause();
  const before = ticks;
  const exits = [await late.exited];
  killed.kill('SIGKILL');
  exits.push(await killed.exited);
  const { state } = await box.inspect();
  const stood = ticks - before;
  await box.resume();
  const { stdout } = await box.exec(['sh', '-c', 'grep -c -z ^2000 /proc/[0-9]*/cmdline | grep -c :[1-9]']);
  await box.remove({ force: true });
  await runtime.close();
  console.log(JSON.stringify({ reasons: exits.map(({ reason }) => reason), state, stood, left: stdout.trim() }));
`;

describe('a container that stands still by the freezer of cgroup v1', () => {
  checkLeaks();

  test('an exec’s timeout and kill end its tree meanwhile, and nobody else moves', async () => {
    const store = await tempStore();
    const { stdout, stderr } = await program(SCRIPT, JSON.stringify(store.options));
    await store.remove();
    expect(stderr).toBe('');
    const { stood, ...said } = JSON.parse(stdout) as Record<string, unknown>;
    expect(said).toEqual({ reasons: ['timeout', 'killed'], state: 'paused', left: '0' });
    // What was in the pipe.
    expect(stood).toBeLessThan(3);
  });
});
