import { expect, test } from 'vitest';

import { holesOf, upstreamOf } from '../../../lib/host/known-kernels.js';

test.each([
  ['6.12.5', '#1 SMP', '', '6.12.5'],
  ['6.1.0-18-amd64', '#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)', '', '6.1.76'],
  ['5.15.0-91-generic', '#101-Ubuntu SMP', 'Ubuntu 5.15.0-91.101-generic 5.15.131\n', '5.15.131'],
  ['5.15.0-91-generic', '#101-Ubuntu SMP', '', null],
  ['4.18.0-513.el8.x86_64', '#1 SMP', '', null],
  ['5.14.0-362.8.1.el9_3.x86_64', '#1 SMP', '', null],
  ['6.6.87.2-microsoft-standard-WSL2', '#1 SMP', '', '6.6.87'],
  ['odd', '', '', null],
])('%s is based on', (release, build, signature, expected) => {
  expect(upstreamOf(release, build, signature)).toBe(expected);
});

const cves = (version: string): string[] =>
  holesOf(version).map((hole) => hole.slice(0, hole.indexOf(' ')));

test.each([
  ['5.7.19', 'CVE-2022-0847', false],
  ['5.8', 'CVE-2022-0847', true],
  ['5.10.101', 'CVE-2022-0847', true],
  ['5.10.102', 'CVE-2022-0847', false],
  ['5.14.21', 'CVE-2022-0847', true],
  ['5.17', 'CVE-2022-0847', false],
  ['6.18.21', 'CVE-2026-31431', true],
  ['6.18.22', 'CVE-2026-31431', false],
  ['6.17.9', 'CVE-2026-31431', false],
  ['6.1.75', 'CVE-2024-1086', true],
  ['6.1.76', 'CVE-2024-1086', false],
])('%s has %s: %s', (version, cve, affected) => {
  expect(cves(version).includes(cve)).toBe(affected);
});
