import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { HINTS, MESSAGES } from '../../../lib/errors/codes.js';

const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
const sections = [...page.matchAll(/^### (ERR_[A-Z_]+)$/gm)].map(([, code]) => code);

test('each code has one section in docs/errors.md, and no section is without a code', () => {
  expect([...sections].sort()).toEqual(Object.keys(MESSAGES).sort());
});

test('each section says more than its heading', () => {
  const texts = page.split(/^### /m).slice(1);
  for (const text of texts) expect(text.split('\n').slice(1).join('').trim()).not.toBe('');
});

test('a hint belongs to a code', () => {
  for (const code of Object.keys(HINTS)) expect(MESSAGES).toHaveProperty(code);
});
