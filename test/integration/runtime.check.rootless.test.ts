import { afterAll, beforeAll, expect } from 'vitest';

import { checkHost } from '../../lib/host/check.js';
import { CheckBench, failing, shell } from '../helpers/check.js';
import { checkLeaks } from '../helpers/leak.js';
import { needs } from '../helpers/needs.js';

// Whoever runs this, root or not, checks the rootless mode as themselves.
const { describe, test } = needs('userns', 'compiler', 'supervisor');

let bench: CheckBench;

checkLeaks();

beforeAll(async () => {
  bench = await CheckBench.make('rootless');
});
afterAll(() => bench.folder.remove());

test('no item fails', async () => {
  const { supervisor, root, runDir } = bench;
  const report = await checkHost({ supervisor, root, runDir, mode: 'rootless' });
  expect(report.items.filter((item) => item.level === 'fail')).toEqual([]);
  expect(report.ok).toBe(true);
});

describe('switches', () => {
  test('user.max_user_namespaces = 0', async () => {
    const found = await bench.items(
      shell('echo 0 >/proc/sys/user/max_user_namespaces', '--user', '--map-root-user'),
      { mode: 'rootless' },
    );
    expect(found.get('user-namespaces')).toMatchObject({
      level: 'fail',
      detail: expect.stringMatching(/max_user_namespaces is 0 \(ENOSPC\)/) as string,
      fix: expect.stringContaining('sysctl -w user.max_user_namespaces') as string,
    });
    expect(found.get('overlay')).toMatchObject({
      detail: expect.stringMatching(/^not tried/) as string,
    });
  });

  test('a limit of another namespace', async () => {
    const found = await bench.items(
      shell('echo 0 >/proc/sys/user/max_net_namespaces', '--user', '--map-root-user'),
      { mode: 'rootless' },
    );
    expect(found.get('user-namespaces')?.ok).toBe(true);
    expect(found.get('namespaces')).toMatchObject({
      level: 'fail',
      detail: expect.stringContaining('user.max_net_namespaces') as string,
    });
  });
});

describe('an outer seccomp filter', () => {
  test('clone3 answers ENOSYS', async () => {
    const found = await bench.items([bench.deny, 'ENOSYS', 'clone3', '--']);
    expect(found.get('outer-seccomp')?.detail).toContain('outer seccomp filter forbids clone3');
    expect(found.get('user-namespaces')?.ok).toBe(true);
  });

  test('unshare answers EPERM', async () => {
    const found = await bench.items([bench.deny, 'EPERM', 'unshare', '--']);
    expect(found.get('user-namespaces')?.detail).toContain('outer seccomp filter');
  });
});

test('no_new_privs is a note', async () => {
  const found = await bench.items(['setpriv', '--no-new-privs', '--']);
  expect(found.get('no-new-privs')).toMatchObject({ ok: false, level: 'note' });
  expect(failing(found)).toEqual([]);
});
