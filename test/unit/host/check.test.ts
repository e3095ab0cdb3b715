import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { parseItems } from '../../../lib/host/check.js';
import { hasRemedy, remedyFor } from '../../../lib/host/remedies.js';
import { repository } from '../../helpers/native.js';

const context = { supervisor: '/opt/app/caisson-supervisor', root: '/s', runDir: '/r' };

const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
const sources = readdirSync(join(repository, 'addon/supervisor'))
  .filter((name) => name.startsWith('check') && name.endsWith('.cc'))
  .map((name) => read(`addon/supervisor/${name}`))
  .join('\n');

describe('lines of the supervisor', () => {
  test('one item per line, anything else is left out', () => {
    const lines = [
      'clone3\tok\t-\t-\t',
      'overlay\tfail\tstore-on-overlay\tEINVAL\tan overlay on overlay is refused',
      'reflink\tnote\tstore-file-system\t-\tfiles are copied',
      'noise',
      'x\tmaybe\t-\t-\tz',
      '',
    ];
    expect(parseItems(lines.join('\n'), context)).toEqual([
      { id: 'clone3', ok: true, level: 'ok', detail: '', fix: null },
      {
        id: 'overlay',
        ok: false,
        level: 'fail',
        detail: 'an overlay on overlay is refused (EINVAL)',
        fix: expect.stringContaining('volume') as string,
      },
      {
        id: 'reflink',
        ok: false,
        level: 'note',
        detail: 'files are copied',
        fix: expect.stringContaining('Nothing has to be done') as string,
      },
    ]);
  });

  test('a cause nobody knows still gets a fix', () => {
    expect(remedyFor({ id: 'new', cause: 'new-cause', ...context })).toContain('dmesg');
    expect(remedyFor({ id: 'new', cause: null, ...context })).not.toBe('');
  });

  test("AppArmor's profile quotes a path that needs it", () => {
    const plain = remedyFor({ id: 'user-namespaces', cause: 'apparmor', ...context });
    expect(plain).toContain('profile caisson-supervisor /opt/app/caisson-supervisor flags');
    const spaced = { ...context, supervisor: '/home/me/my "app"/caisson-supervisor' };
    expect(remedyFor({ id: 'user-namespaces', cause: 'apparmor', ...spaced })).toContain(
      'profile caisson-supervisor "/home/me/my \\"app\\"/caisson-supervisor" flags',
    );
  });
});

test.each([
  ['cgroups', 'not-delegated'],
  ['cgroup-controllers', 'not-delegated'],
  ['cgroup-controllers', 'kernel-command-line'],
  ['pasta', 'no-pasta'],
  ['pasta', 'no-tun'],
  ['nft', 'kernel-config'],
])('%s/%s promises nothing that this version refuses', (id, cause) => {
  expect(remedyFor({ id, cause, ...context })).toMatch(/^Nothing has to be done|later version/);
});

describe('supervisor, remedies and docs/host.md agree', () => {
  test('every cause has a remedy', () => {
    const causes = new Set<string>();
    for (const [, cause] of sources.matchAll(/\b(?:Fail|Note)\(\s*"([a-z-]+)"/g))
      causes.add(cause ?? '');
    for (const [, cause] of sources.matchAll(/(?:return|\?|:)\s*"([a-z]+(?:-[a-z]+)+)"\s*[;:]/g))
      causes.add(cause ?? '');
    expect(causes.size).toBeGreaterThan(30);
    expect([...causes].filter((cause) => !hasRemedy(cause))).toEqual([]);
  });

  test('every item has its section, and no section is without an item', () => {
    const ids = [...sources.matchAll(/\{"([a-z0-9-]+)", \w+, k\w+, k\w+\}/g)].map(
      (match) => match[1],
    );
    expect(ids.length).toBeGreaterThan(30);
    // Said by lib/host/check.ts itself.
    ids.push('platform', 'supervisor', 'check', 'kernel');
    const sections = [...read('docs/host.md').matchAll(/^### (.+)$/gm)].map((match) => match[1]);
    expect(sections.toSorted()).toEqual(ids.toSorted());
  });
});
