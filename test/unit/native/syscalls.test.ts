import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { repository } from '../../helpers/native.js';

test('the table of system calls agrees with the kernel headers and with libseccomp', () => {
  const script = join(repository, 'scripts', 'syscalls.mjs');
  expect(() => execFileSync(process.execPath, [script, 'check'], { stdio: 'pipe' })).not.toThrow();
});
