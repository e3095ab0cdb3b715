// A fixture for node:test: every test gets a fresh container, removed when the test ends, whether
// it passed or threw. Run it with `node --test examples/test-fixture.mjs` or as a plain program.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Container, Image } from 'caisson';

/** A running container that lives as long as the test `t`. */
async function sandbox(t, options = {}) {
  const container = await Container.start({
    image: Image.host(),
    argv: ['sleep', '1000'],
    ...options,
  });
  t.after(() => container.remove({ force: true }));
  return container;
}

test('a container keeps what was written to it', async (t) => {
  const box = await sandbox(t);
  await box.exec(['sh', '-c', 'echo kept > /tmp/note'], { check: true });
  const { stdout } = await box.exec(['cat', '/tmp/note']);
  assert.equal(stdout, 'kept\n');
});

test('the next one starts fresh', async (t) => {
  const box = await sandbox(t, { env: { GREETING: 'hello' }, hostname: 'fresh' });
  const { exitCode } = await box.exec(['test', '-e', '/tmp/note']);
  assert.equal(exitCode, 1);
  const { stdout } = await box.exec([
    'sh',
    '-c',
    'echo $GREETING from $(cat /proc/sys/kernel/hostname)',
  ]);
  assert.equal(stdout, 'hello from fresh\n');
});
