import { describe, expect, test } from 'vitest';

import { mapOf, rangesOf } from '../../../lib/host/subordinate-ids.js';

const ranges = (text: string): [number, number][] =>
  rangesOf(text, 1000, 'ann', 1000).map(({ first, count }) => [first, count]);

describe('the lines of a user', () => {
  test.each<[string, [number, number][]]>([
    ['', []],
    ['bob:1:1\n', []],
    ['ann:100000:65536', [[100000, 65536]]],
    ['1000:100000:65536\n', [[100000, 65536]]],
    [
      'bob:1:1\nann:5:5\n1000:20:5\n',
      [
        [5, 5],
        [20, 5],
      ],
    ],
    ['ann:5:5\nann:9:5\n', [[5, 5]]],
    [
      'ann:5:5\nann:1:5\nann:10:1\n',
      [
        [5, 5],
        [10, 1],
      ],
    ],
    ['ann:1000:10\nann:900:200\n', []],
    ['ann:0:0\nann:x:1\nann:1\nann:1:1:1\nann:-1:5\n', []],
    ['ann:4294967290:5\nann:4294967290:6\nann:99999999999:1\n', [[4294967290, 5]]],
    ['annie:1:1\nan:1:1\n10001:1:1\n', []],
  ])('%j', (text, expected) => {
    expect(ranges(text)).toEqual(expected);
  });

  test('no more than the kernel takes', () => {
    const text = Array.from({ length: 500 }, (_, i) => `ann:${200000 + i}:1`).join('\n');
    const found = rangesOf(text, 1000, 'ann', 1000);
    expect(found).toHaveLength(100);
    expect(mapOf(found, 1000).length).toBeLessThan(4000);
  });

  test('a user without a name has those of the number', () => {
    expect(rangesOf(':1:1\n1000:5:5\n', 1000, '', 1000)).toEqual([{ first: 5, count: 5 }]);
  });
});

test('root inside is the user, the others follow', () => {
  expect(mapOf(rangesOf('ann:100000:10\nann:500:5', 1000, 'ann', 1000), 1001)).toBe(
    '0:1001:1,1:100000:10,11:500:5',
  );
});
