import { expect, test } from 'vitest';
import type { HistoryEntry } from '../../../lib/image/documents.js';
import { historyOf } from '../../../lib/image/history.js';
import type { ImageRecord } from '../../../lib/image/records.js';
import type { Store } from '../../../lib/store/index.js';

const diffIds = ['a', 'b'].map((letter) => `sha256:${letter.repeat(64)}` as const);
const store = {
  layers: { facts: (key: string) => Promise.resolve({ tarBytes: key.startsWith('a') ? 10 : 20 }) },
} as unknown as Store;

const stepsOf = async (history: HistoryEntry[]): Promise<unknown[]> => {
  const image = {
    document: { diffIds, history },
    keys: diffIds.map((id) => id.slice(7)),
  } as unknown as ImageRecord;
  return (await historyOf(store, image)).map(({ createdBy, createdAt, sizeBytes, diffId }) => [
    createdBy,
    createdAt?.getTime() ?? null,
    sizeBytes,
    diffId?.slice(7, 8) ?? null,
  ]);
};

test('newest first, each with its layer', async () => {
  expect(
    await stepsOf([
      { createdBy: 'ADD x', created: '1970-01-01T00:00:01Z', emptyLayer: false },
      { createdBy: 'ENV a=b', created: 'nonsense', emptyLayer: true },
      { createdBy: 'RUN y', emptyLayer: false },
    ]),
  ).toEqual([
    ['RUN y', null, 20, 'b'],
    ['ENV a=b', null, 0, null],
    ['ADD x', 1000, 10, 'a'],
  ]);
});

test('layers without history, and history without layers', async () => {
  expect(await stepsOf([])).toEqual([
    ['', null, 20, 'b'],
    ['', null, 10, 'a'],
  ]);
  const three = Array.from({ length: 3 }, (_, i) => ({ createdBy: `${i}`, emptyLayer: false }));
  expect(await stepsOf(three)).toEqual([
    ['2', null, 0, null],
    ['1', null, 20, 'b'],
    ['0', null, 10, 'a'],
  ]);
});
