import { describe, expect, test } from 'vitest';
import {
  checkReference,
  familiar,
  formatReference,
  normalize,
  parseReference,
  readReference,
} from '../../../lib/registry/reference.js';

const HEX = 'f'.repeat(64);
const DIGEST = `sha256:${HEX}`;
const LONG = 'a/'.repeat(127) + 'a';

// The cases are those of distribution/reference (reference_test.go, normalize_test.go), normalized.
describe('the grammar', () => {
  test.each<[string, string, string, string | undefined, string?]>([
    ['test_com', 'docker.io', 'library/test_com', 'latest'],
    ['test.com:tag', 'docker.io', 'library/test.com', 'tag'],
    ['test.com:5000', 'docker.io', 'library/test.com', '5000'],
    ['test.com/repo:tag', 'test.com', 'repo', 'tag'],
    ['test:5000/repo', 'test:5000', 'repo', 'latest'],
    ['test:5000/repo:tag', 'test:5000', 'repo', 'tag'],
    [`test:5000/repo@${DIGEST}`, 'test:5000', 'repo', undefined, DIGEST],
    [`test:5000/repo:tag@${DIGEST}`, 'test:5000', 'repo', 'tag', DIGEST],
    ['lowercase:Uppercase', 'docker.io', 'library/lowercase', 'Uppercase'],
    [`${LONG}:tag-puts-this-over-max`, 'docker.io', LONG, 'tag-puts-this-over-max'],
    ['sub-dom1.foo.com/bar/baz/quux', 'sub-dom1.foo.com', 'bar/baz/quux', 'latest'],
    ['sub-dom1.foo.com/bar/baz/quux:long', 'sub-dom1.foo.com', 'bar/baz/quux', 'long'],
    ['b.gcr.io/test.example.com/my-app:a.b', 'b.gcr.io', 'test.example.com/my-app', 'a.b'],
    [`a:${'t'.repeat(128)}`, 'docker.io', 'library/a', 't'.repeat(128)],
    ['xn--n3h.com/myimage:xn--n3h.com', 'xn--n3h.com', 'myimage', 'xn--n3h.com'],
    [`xn--7o8h.com/i:x@${DIGEST}`, 'xn--7o8h.com', 'i', 'x', DIGEST],
    ['foo_bar.com:8080', 'docker.io', 'library/foo_bar.com', '8080'],
    ['foo/foo_bar.com:8080', 'docker.io', 'foo/foo_bar.com', '8080'],
    ['192.168.1.1', 'docker.io', 'library/192.168.1.1', 'latest'],
    ['192.168.1.1:5000', 'docker.io', 'library/192.168.1.1', '5000'],
    ['192.168.1.1/repo', '192.168.1.1', 'repo', 'latest'],
    ['192.168.1.1:5000/repo:5050', '192.168.1.1:5000', 'repo', '5050'],
    ['[2001:db8::1]/repo', '[2001:db8::1]', 'repo', 'latest'],
    ['[2001:db8:1:2:3:4:5:6]/repo:tag', '[2001:db8:1:2:3:4:5:6]', 'repo', 'tag'],
    ['[2001:db8::1]:5000/repo:tag', '[2001:db8::1]:5000', 'repo', 'tag'],
    [`[2001:db8::1]:5000/r:t@${DIGEST}`, '[2001:db8::1]:5000', 'r', 't', DIGEST],
    ['[::1]:5000/repo', '[::1]:5000', 'repo', 'latest'],
    [`example.com/${'a'.repeat(255)}:tag`, 'example.com', 'a'.repeat(255), 'tag'],
    [`docker.io/${HEX}`, 'docker.io', `library/${HEX}`, 'latest'],
    ['LOCALDOMAIN/library/debian', 'LOCALDOMAIN', 'library/debian', 'latest'],
    ['Docker/docker', 'Docker', 'docker', 'latest'],
    ['localhost/library/debian', 'localhost', 'library/debian', 'latest'],
    ['index.docker.io/debian', 'docker.io', 'library/debian', 'latest'],
    ['index.docker.io/library/debian', 'docker.io', 'library/debian', 'latest'],
    ['docker---rules/docker', 'docker.io', 'docker---rules/docker', 'latest'],
    ['dock__er/docker', 'docker.io', 'dock__er/docker', 'latest'],
    ['d/docker', 'docker.io', 'd/docker', 'latest'],
    [`alpine@${DIGEST}`, 'docker.io', 'library/alpine', undefined, DIGEST],
  ])('%s', (text, domain, path, tag, digest) => {
    const reference = readReference(text);
    expect(reference).toEqual({
      domain,
      path,
      ...(tag !== undefined && { tag }),
      ...(digest !== undefined && { digest }),
    });
    expect(readReference(formatReference(reference!))).toEqual(reference);
  });

  test.each([
    '',
    ':',
    ':justtag',
    'a:',
    `@${DIGEST}`,
    `repo@sha256:${'f'.repeat(34)}`,
    `repo@sha256:${'F'.repeat(64)}`,
    `validname@invaliddigest:${HEX}`,
    `validname@sha512:${HEX}${HEX}`,
    `a@${DIGEST}@${DIGEST}`,
    'a@',
    HEX,
    'Uppercase:tag',
    'test:5000/Uppercase/lowercase:tag',
    `domain/${'a'.repeat(256)}:tag`,
    'aa/asdf$$^/aa',
    '[2001:db8::1]',
    '[2001:db8::1]:5000',
    '[2001:db8::1]:tag',
    '[fe80::1%eth0]:5000/repo',
    '[2001:db8:3:4::192.0.2.33]:5000/debian',
    'fc00::1:5000/debian',
    'https://github.com/docker/docker',
    'docker/Docker',
    '-docker',
    '-docker/docker',
    '-docker.io/docker/docker',
    'docker///docker',
    'docker.io/docker///docker',
    'docker-/docker',
    '____/____',
    '_docker/_docker',
    'dock..er/docker',
    'dock_.er/docker',
    'dock-.er/docker',
    'docker/',
    '/a',
    'a..b/c',
    'a b',
    '../a',
    'a:b c',
    'a\nb',
    'a\0',
    'é',
    'host.example:123456/a',
    `a:${'t'.repeat(129)}`,
    'a'.repeat(100_000),
  ])('%j is refused', (text) => {
    expect(readReference(text)).toBeUndefined();
    expect(normalize(text)).toBeUndefined();
    expect(() => checkReference(text, 'image')).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_ARGUMENT',
        details: expect.objectContaining({ option: 'image' }),
      }),
    );
  });
});

describe('names', () => {
  test.each([
    ['alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20', 'alpine:3.20'],
    ['user/app', 'docker.io/user/app:latest', 'user/app:latest'],
    ['docker.io/library/alpine:1', 'docker.io/library/alpine:1', 'alpine:1'],
    ['library/foo/bar', 'docker.io/library/foo/bar:latest', 'library/foo/bar:latest'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest', 'localhost:5000/app:latest'],
    ['Foo/bar', 'Foo/bar:latest', 'Foo/bar:latest'],
    ['[::1]:5000/a/b:T_1', '[::1]:5000/a/b:T_1', '[::1]:5000/a/b:T_1'],
    ['ghcr.io/a/b-c_d__e.f:v1', 'ghcr.io/a/b-c_d__e.f:v1', 'ghcr.io/a/b-c_d__e.f:v1'],
  ])('%s', (text, full, short) => {
    expect(parseReference(text)).toBe(full);
    expect(familiar(full)).toBe(short);
    expect(normalize(short)).toBe(full);
  });

  test('with a digest it is none', () => {
    expect(normalize(`alpine@${DIGEST}`)).toBeUndefined();
    expect(() => parseReference(`alpine:1@${DIGEST}`)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });
});
