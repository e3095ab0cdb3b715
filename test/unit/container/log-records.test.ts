import { expect, test } from 'vitest';
import { LogParser } from '../../../lib/container/log-records.js';

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
  const parser = new LogParser();
  const found: string[][] = [];
  for (let at = 0; at < log.length; at += size) {
    const piece = Buffer.from(log.subarray(at, at + size));
    for (const { stream, data } of parser.push(piece)) found.push([stream, data.toString()]);
    piece.fill(0); // what it keeps is its own
  }
  expect(found).toEqual(texts);
});

test('half a record at the end of a file is forgotten with it', () => {
  const parser = new LogParser();
  expect(parser.push(log.subarray(0, 18))).toEqual([]);
  parser.reset();
  expect(parser.push(record(2, 'next')).map(({ data }) => data.toString())).toEqual(['next']);
});
