import { describe, expect, test } from 'vitest';
import {
  checkAbsolutePath,
  checkBag,
  checkInteger,
  checkOneOf,
  checkSize,
  checkString,
  nearestName,
} from '../../../lib/errors/arguments.js';

const refusal = (call: () => unknown): unknown => {
  try {
    return { taken: call() };
  } catch (error) {
    return (error as { details: unknown }).details;
  }
};

describe('unknown names', () => {
  const known = new Set(['timeoutMs', 'readOnly', 'hostname', 'env']);

  test.each([
    ['timeout', 'timeoutMs'],
    ['readonly', 'readOnly'],
    ['hostnmae', 'hostname'],
    ['ENV', 'env'],
  ])('%s: the nearest known one is named', (given, nearest) => {
    expect(refusal(() => checkBag({ [given]: 1 }, 'options', known))).toEqual({
      option: given,
      reason: `unknown option; did you mean "${nearest}"?`,
    });
  });

  test('one that is like nothing: all known ones are, where they are few', () => {
    expect(refusal(() => checkBag({ zzzzzzzz: 1 }, 'log', known))).toEqual({
      option: 'log.zzzzzzzz',
      reason: 'unknown option; known are timeoutMs, readOnly, hostname, env',
    });
    const many = new Set(Array.from({ length: 9 }, (_, i) => `option${i}`));
    expect(refusal(() => checkBag({ zzzzzzzz: 1 }, 'log', many))).toEqual({
      option: 'log.zzzzzzzz',
      reason: 'unknown option',
    });
  });

  test('inherited names count too', () => {
    expect(
      refusal(() => checkBag(Object.create({ tiemoutMs: 1 }), 'options', known)),
    ).toMatchObject({ option: 'tiemoutMs' });
  });

  test.each([null, 1, 'x', []])('%j is no object', (value) => {
    expect(refusal(() => checkBag(value, 'options', known))).toMatchObject({ option: 'options' });
  });
});

test('nearestName counts a swap as one edit, and gives up beyond a third', () => {
  expect(nearestName('argv0', ['argv', 'env'])).toBe('argv');
  expect(nearestName('avgr', ['argv', 'env'])).toBe('argv');
  expect(nearestName('something', ['argv', 'env'])).toBeUndefined();
});

describe('sizes', () => {
  test.each([
    [0, 0],
    [1024, 1024],
    ['512MiB', 512 * 2 ** 20],
    ['512 MiB', 512 * 2 ** 20],
    ['1.5GiB', 1.5 * 2 ** 30],
    ['16kB', 16_000],
    ['7B', 7],
  ])('%j', (given, bytes) => {
    expect(checkSize(given, 'size')).toBe(bytes);
  });

  test.each(['', '512', '512mb', '512 M', '-1MiB', 'MiB', '1e3MiB', -1, 1.5, Infinity, NaN, null])(
    '%j is refused',
    (given) => {
      expect(refusal(() => checkSize(given, 'size'))).toMatchObject({ option: 'size' });
    },
  );
});

describe('paths', () => {
  test.each([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['//a/./b//', '/a/b'],
    ['/a/../../b', '/b'],
  ])('%s becomes %s', (given, path) => {
    expect(checkAbsolutePath(given, 'cwd')).toBe(path);
  });

  test.each(['', 'a', './a', 'a/b', '/a\0b', 7, `/${'a'.repeat(5000)}`])(
    '%j is refused',
    (given) => {
      expect(refusal(() => checkAbsolutePath(given, 'cwd'))).toMatchObject({ option: 'cwd' });
    },
  );
});

test('one value each', () => {
  expect(refusal(() => checkInteger('5', 'n', 0))).toEqual({
    option: 'n',
    reason: 'must be a whole number from 0, not string',
  });
  expect(refusal(() => checkInteger(5, 'n', 0, 4))).toMatchObject({
    reason: 'must be a whole number from 0 up to 4, not 5',
  });
  expect(refusal(() => checkOneOf('c', 'o', ['a', 'b']))).toMatchObject({
    reason: 'must be one of "a", "b", not "c"',
  });
  expect(refusal(() => checkString('a\0', 's'))).toMatchObject({ reason: 'must not contain NUL' });
});
