import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';

import { CaissonError } from '../../../lib/errors/index.js';
import { tempFolder } from '../../helpers/temp.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

/** The loader as a program has it that starts with this CAISSON_NATIVE_DIR. */
async function loadFrom(folder: string): Promise<unknown> {
  vi.stubEnv('CAISSON_NATIVE_DIR', folder);
  const { loadNative } = await import('../../../lib/native/load.js');
  try {
    return loadNative();
  } catch (error) {
    return error;
  }
}

test('a folder without the files is ERR_NATIVE_MISSING, which says where and what to type', async () => {
  await using folder = await tempFolder();
  const error = await loadFrom(folder.path);
  if (!CaissonError.is(error, 'ERR_NATIVE_MISSING')) throw error;
  expect(error.details).toEqual({ tried: [folder.path] });
  expect(error.hint).toContain('npx caisson build');
});

test('files that this machine cannot load are ERR_NATIVE_MISSING with the reason', async () => {
  await using folder = await tempFolder();
  for (const name of ['caisson.node', 'caisson-supervisor']) {
    writeFileSync(join(folder.path, name), 'not for this machine');
    chmodSync(join(folder.path, name), 0o755);
  }
  const error = await loadFrom(folder.path);
  if (!CaissonError.is(error, 'ERR_NATIVE_MISSING')) throw error;
  expect(error.details.reason).toMatch(/invalid ELF header|file too short/);
  expect(error.cause).toBeInstanceOf(Error);
});
