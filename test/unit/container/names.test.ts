// Whatever becomes a line of a file, a path, or a word of the kernel's: no newline, NUL or way up gets through.
import { describe, expect, test } from 'vitest';
import { parseContainer } from '../../../lib/container/request.js';

const refused = expect.objectContaining({
  code: expect.stringMatching(/^ERR_(INVALID_ARGUMENT|UNSUPPORTED)$/) as string,
}) as Error;

const OPTIONS: Readonly<Record<string, (text: string) => object>> = {
  name: (text) => ({ name: text }),
  hostname: (text) => ({ hostname: text }),
  user: (text) => ({ user: text }),
  'user, its group': (text) => ({ user: `root:${text}` }),
  networks: (text) => ({ networks: text }),
  'dns.servers': (text) => ({ dns: { servers: [text] } }),
  'dns.search': (text) => ({ dns: { search: [text] } }),
  'dns.options': (text) => ({ dns: { options: [text] } }),
  'a name of extraHosts': (text) => ({ extraHosts: { [text]: '10.0.0.1' } }),
  'an address of extraHosts': (text) => ({ extraHosts: { a: text } }),
  'security.capAdd': (text) => ({ security: { capAdd: [text] } }),
  'security.sysctls': (text) => ({ security: { sysctls: { [text]: '1' } } }),
  'security.groupAdd': (text) => ({ security: { groupAdd: [text] } }),
  'security.apparmor': (text) => ({ security: { apparmor: text } }),
  'security.selinux': (text) => ({ security: { selinux: text } }),
  'security.mountLabel': (text) => ({ security: { mountLabel: text } }),
  'security.ulimits': (text) => ({ security: { ulimits: { [text]: 1 } } }),
  'security.devices, permissions': (text) => ({
    security: { devices: [{ hostPath: '/dev/null', permissions: text }] },
  }),
  'a call of security.seccomp': (text) => ({
    security: {
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: [text], action: 'SCMP_ACT_ERRNO' }],
      },
    },
  }),
};

describe.each(Object.entries(OPTIONS))('%s', (_, options) => {
  test.each(['a\nb', '\n', 'a\0b', 'a\nb: c', '10.0.0.1\n10.0.0.2'])('%j', (text) => {
    expect(() => parseContainer({ image: 'x', argv: ['true'], ...options(text) })).toThrow(refused);
  });
});

describe.each(['name', 'hostname', 'security.sysctls', 'security.ulimits'])('%s', (key) => {
  test.each(['..', '.', 'a/../b', '../a', 'a/', '/a', 'a+b'])('%j', (text) => {
    const options = OPTIONS[key]?.(text) ?? {};
    expect(() => parseContainer({ image: 'x', argv: ['true'], ...options })).toThrow(refused);
  });
});

test('names of the environment', () => {
  for (const name of ['', 'A=B', 'A\0']) {
    expect(() => parseContainer({ image: 'x', argv: ['true'], env: { [name]: '1' } })).toThrow(
      refused,
    );
  }
});
