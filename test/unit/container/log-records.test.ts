import { expect, test } from 'vitest';
import { takeRecords } from '../../../lib/container/log-records.js';

function record(stream: number, text: string, flags = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(text.length, 0);
  header[4] = stream;
  header[5] = flags;
  return Buffer.concat([header, Buffer.from(text)]);
}

const LOST = 1;
const log = Buffer.concat([
  record(1, 'one'),
  record(2, 'two'),
  record(1, '\0\0\0\0\0\0\0\0', LOST),
  record(1, ''),
  record(1, 'three'),
]);
const texts = [
  ['stdout', 'one'],
  ['stderr', 'two'],
  ['stdout', ''],
  ['stdout', 'three'],
];

test.each([1, 7, 16, 17, log.length])('records in pieces of %i bytes', (size) => {
  const found: string[][] = [];
  let rest = Buffer.alloc(0);
  for (let at = 0; at < log.length; at += size) {
    rest = Buffer.concat([rest, log.subarray(at, at + size)]);
    const { records, end } = takeRecords(rest);
    for (const { stream, data } of records) found.push([stream, data.toString()]);
    rest = rest.subarray(end);
  }
  expect(found).toEqual(texts);
  expect(rest).toHaveLength(0);
});

test('half a record is left', () => {
  expect(takeRecords(log.subarray(0, 18))).toEqual({ records: [], end: 0 });
  expect(takeRecords(log.subarray(0, 25))).toMatchObject({ records: [{}], end: 19 });
});
