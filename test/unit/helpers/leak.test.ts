import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';

import { leak, snapshot } from '../../helpers/leak.js';
import { missing } from '../../helpers/needs.js';
import { tempFolder, tempStore } from '../../helpers/temp.js';

// Other workers run at the same time.
vi.stubEnv('LEAK_SCOPE', 'own');

test('nothing done leaves nothing', async () => {
  const settled = leak();
  readFileSync('/proc/self/status');
  await settled();
});

test('an open descriptor is found, and a late close is waited for', async () => {
  const settled = leak();
  const fd = openSync('/proc/self/status', 'r');
  await expect(settled()).rejects.toThrow(/descriptor \d+: \/proc\/\d+\/status/);
  const again = settled();
  setTimeout(() => closeSync(fd), 100);
  await again;
});

test('a child process is found', async () => {
  const settled = leak();
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await expect(settled()).rejects.toThrow(/process \d+: sleep 60/);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await settled();
});

test('records and scratch slots are found, layers are not', async () => {
  await using store = await tempStore();
  const settled = leak();
  mkdirSync(join(store.root, 'layers/abc123'), { recursive: true });
  mkdirSync(join(store.root, 'layers/skeleton'), { recursive: true });
  await settled();
  mkdirSync(join(store.root, 'scratch/r1'), { recursive: true });
  mkdirSync(join(store.runDir, 'r1'));
  await expect(settled()).rejects.toThrow(/scratch\/r1\n.*\/r\/r1/);
});

test.skipIf(missing('root') !== null)('a mount in another mount namespace is found', async () => {
  await using folder = await tempFolder();
  const before = snapshot();
  const script = `mount -t tmpfs none ${folder.path} && echo ready && exec sleep 60`;
  const child = spawn('unshare', ['--mount', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const added = [...snapshot()].filter((line) => !before.has(line));
  expect(added.filter((line) => line.startsWith('mount in')).join()).toContain(folder.path);
  child.kill('SIGKILL');
  await once(child, 'exit');
});
