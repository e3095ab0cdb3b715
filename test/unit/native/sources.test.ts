import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { repository } from '../../helpers/native.js';

test('addon/sources.txt lists what the folders of addon/ hold', () => {
  const script = join(repository, 'scripts', 'sources.mjs');
  expect(() => execFileSync(process.execPath, [script, 'check'])).not.toThrow();
});
