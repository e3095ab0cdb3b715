import { describe, expect, test } from 'vitest';
import { familiar, normalize, parseReference } from '../../../lib/image/reference.js';

describe('references', () => {
  test.each([
    ['alpine', 'docker.io/library/alpine:latest', 'alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20', 'alpine:3.20'],
    ['user/app', 'docker.io/user/app:latest', 'user/app:latest'],
    ['docker.io/library/alpine:1', 'docker.io/library/alpine:1', 'alpine:1'],
    ['localhost/app', 'localhost/app:latest', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest', 'localhost:5000/app:latest'],
    ['[::1]:5000/a/b:T_1', '[::1]:5000/a/b:T_1', '[::1]:5000/a/b:T_1'],
    ['ghcr.io/a/b-c_d__e.f:v1', 'ghcr.io/a/b-c_d__e.f:v1', 'ghcr.io/a/b-c_d__e.f:v1'],
  ])('%s', (text, full, short) => {
    expect(parseReference(text)).toBe(full);
    expect(familiar(full)).toBe(short);
    expect(normalize(short)).toBe(full);
  });

  test.each([
    '',
    ':',
    'a:',
    ':tag',
    'Alpine',
    'a//b',
    '/a',
    'a/',
    'a b',
    '../a',
    'a:b c',
    'a\nb',
    'é',
  ])('%j is refused', (text) => {
    expect(normalize(text)).toBeUndefined();
    expect(() => parseReference(text, 'ref')).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    );
  });
});
