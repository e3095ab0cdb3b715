import { describe, expect, test } from 'vitest';
import { parseSysctls, scopeOf } from '../../../lib/container/sysctl-request.js';

const refused = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }) as Error;

describe('names', () => {
  test.each([
    'net.core.somaxconn',
    'net/core/somaxconn',
    'net/ipv4/conf/eth0.1/forwarding',
    'net/ipv6/conf/eth0:1/disable_ipv6',
    'kernel.msgmax',
    'kernel/shm_rmid_forced',
    'fs.mqueue.msg_max',
    'kernel.domainname',
  ])('%s', (name) => {
    expect(parseSysctls({ [name]: '1' })).toEqual({ [name]: '1' });
  });

  test.each([
    // Not a namespace's.
    'kernel.core_pattern',
    'kernel/core_pattern',
    'kernel.hostname',
    'kernel.shmall_',
    'vm.overcommit_memory',
    'fs.file-max',
    'user.max_user_namespaces',
    'network.x',
    'net',
    // CVE-2022-0811 and its kind: one option that becomes two, or a path that leads elsewhere.
    'kernel.shm_rmid_forced+kernel.core_pattern',
    'net.x+kernel.core_pattern',
    'net.ipv4\nkernel.core_pattern',
    'net.ipv4=1',
    'net.ipv4 kernel.core_pattern',
    'net/../kernel/core_pattern',
    'net...kernel.core_pattern',
    'net..ipv4',
    'net//ipv4',
    '/net/ipv4',
    '.net.ipv4',
    'net.ipv4.',
    'net/ipv4/',
    'net.ipv4/forwarding',
    'net.ipv4.\0',
    'net.ipv4.é',
    `net.${'a'.repeat(252)}`,
    '',
  ])('%j is refused', (name) => {
    expect(() => parseSysctls({ [name]: '1' })).toThrow(refused);
  });

  test('one setting has one name', () => {
    expect(() => parseSysctls({ 'net.a.b': '1', 'net/a/b': '2' })).toThrow(refused);
  });
});

test('values are one line', () => {
  expect(parseSysctls({ 'net.ipv4.ping_group_range': '0\t1' })).toBeDefined();
  for (const value of ['1\n2', '1\0', '\x7f', 'x'.repeat(4096), 1, null, undefined]) {
    expect(() => parseSysctls({ 'net.a': value })).toThrow(refused);
  }
});

test('each belongs to one namespace', () => {
  expect(
    ['net.a', 'net/a', 'kernel.sem', 'fs.mqueue.a', 'kernel.domainname', 'a.b'].map(scopeOf),
  ).toEqual(['network', 'network', 'ipc', 'ipc', 'uts', undefined]);
});
