import { expect, test } from 'vitest';

import { cgroupKindOf, readHostFacts } from '../../../lib/host/facts.js';

const V2 = '35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate';
const UNIFIED = '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw';
const PIDS = '39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids';
const SYSTEMD = '40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd';

test.each([
  ['', 'none'],
  [V2, 'v2'],
  [PIDS, 'v1'],
  [`${PIDS}\n${SYSTEMD}`, 'v1'],
  [`${PIDS}\n${UNIFIED}`, 'hybrid'],
  [`${SYSTEMD}\n${V2}`, 'v2'],
  [SYSTEMD, 'none'],
])('cgroups by mountinfo %#', (mountinfo, kind) => {
  expect(cgroupKindOf(mountinfo)).toBe(kind);
});

test('facts are plain data', () => {
  const facts = readHostFacts({ mode: 'rootless' });
  expect(structuredClone(facts)).toEqual(facts);
  expect(facts).toMatchObject({ mode: 'rootless', uid: process.geteuid?.() });
});
