import { appendFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { endOfLog, LogFollower, type LogPlace } from '../../../lib/container/log-follower.js';
import { tempFolder, type TempFolder } from '../../helpers/temp.js';

const FILES = 3;
let folder: TempFolder;
let log: string;
let end: () => void;
let ended: Promise<void>;

beforeEach(async () => {
  folder = await tempFolder();
  log = join(folder.path, 'log');
  ended = new Promise((resolve) => (end = resolve));
});
afterEach(() => folder.remove());

function record(text: string): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(text.length, 0);
  header[4] = 1;
  return Buffer.concat([header, Buffer.from(text)]);
}

const follow = (at: LogPlace): Promise<LogFollower | null> =>
  LogFollower.open({ path: log, files: FILES, at, end: ended });

/** What there is to its end. */
async function read(follower: LogFollower): Promise<string> {
  let all = '';
  for (;;) {
    const records = await follower.next();
    if (records === null) return all;
    for (const { data } of records) all += data.toString();
  }
}

test('half a record that is taken back, and another one in its place', async () => {
  writeFileSync(log, record('one '));
  const follower = (await follow({ ...(await endOfLog(log, FILES)), size: 0 }))!;
  expect((await follower.next())?.map(({ data }) => String(data))).toEqual(['one ']);
  const waiting = follower.next();
  appendFileSync(log, record('x'.repeat(1000)).subarray(0, 500));
  await new Promise((resolve) => setTimeout(resolve, 100)); // it is read
  truncateSync(log, record('one ').length);
  appendFileSync(log, record('two'));
  expect((await waiting)?.map(({ data }) => String(data))).toEqual(['two']);
  await follower.close();
});

test('from amid a record: the whole of it', async () => {
  const all = Buffer.concat(['one ', 'two ', 'three '].map(record));
  writeFileSync(log, all);
  const { ino } = await endOfLog(log, FILES);
  end();
  for (const [size, wanted] of [
    [all.length, ''],
    [all.length - 1, 'three '],
    [record('one ').length + 3, 'two three '],
    [record('one ').length, 'two three '],
    [1, 'one two three '],
  ] as const) {
    const follower = (await follow({ ino, size }))!;
    expect(await read(follower)).toBe(wanted);
    await follower.close();
  }
});

test('one that could not be rotated begins anew', async () => {
  writeFileSync(log, Buffer.concat([record('one'), record('two')]));
  const follower = (await follow(await endOfLog(log, FILES)))!;
  const waiting = follower.next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  truncateSync(log, 0);
  appendFileSync(log, record('three'));
  expect((await waiting)?.map(({ data }) => String(data))).toEqual(['three']);
  await follower.close();
});

test('while it is being rotated it has no name of its own', async () => {
  writeFileSync(log, record('one'));
  renameSync(log, `${log}.1`);
  const place = await endOfLog(log, FILES);
  expect(place.size).toBe(record('one').length);
  const follower = (await follow(place))!;
  writeFileSync(log, record('two'));
  end();
  expect(await read(follower)).toBe('two');
  await follower.close();
  rmSync(log);
  rmSync(`${log}.1`);
  expect(await follow(await endOfLog(log, FILES))).toBe(null);
});
