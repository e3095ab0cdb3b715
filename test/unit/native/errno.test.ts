import { describe, expect, test } from 'vitest';

import { errnoName, systemError } from '../../../lib/native/failure.js';

describe('errnoName', () => {
  test.each([
    [1, 'EPERM'],
    [2, 'ENOENT'],
    [8, 'ENOEXEC'], // libuv's table has no name for it
    [28, 'ENOSPC'],
    [62, 'ETIME'],
    [100_000, 'errno 100000'],
    [0, 'errno 0'],
  ])('%i is %s', (errno, name) => {
    expect(errnoName(errno)).toBe(name);
  });

  test('a system error carries code, errno, syscall and path', () => {
    expect(systemError(8, 'execve', '/bin/x')).toMatchObject({
      code: 'ENOEXEC',
      errno: -8,
      syscall: 'execve',
      path: '/bin/x',
    });
  });
});
