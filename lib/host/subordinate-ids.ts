import { constants } from 'node:fs';
import { userInfo } from 'node:os';
import { mayAccess, readText } from './look.js';

/** A run of ids that /etc/subuid or /etc/subgid gives to a user. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** A program that may map them, and what it is to map, as pairs of `inside:outside:count`. */
export interface IdHelper {
  readonly program: string;
  readonly map: string;
}

export interface IdHelpers {
  readonly uids?: IdHelper;
  readonly gids?: IdHelper;
}

/**
 * How an ordinary user's containers get more ids than that user's own. A side that has no ranges or no program is
 * absent. Whether it works is seen when it is done: read once for each Runtime, a few small files.
 */
export function findIdHelpers(): IdHelpers {
  const uid = process.geteuid?.() ?? -1;
  const gid = process.getegid?.() ?? -1;
  const uids = helper('newuidmap', '/etc/subuid', uid, uid);
  const gids = helper('newgidmap', '/etc/subgid', uid, gid);
  return { ...(uids === undefined ? {} : { uids }), ...(gids === undefined ? {} : { gids }) };
}

function helper(name: string, file: string, uid: number, own: number): IdHelper | undefined {
  const text = readText(file);
  if (text === undefined) return undefined;
  const ranges = rangesOf(text, uid, userName(uid), own);
  const program = ranges.length === 0 ? undefined : findProgram(name);
  return program === undefined ? undefined : { program, map: mapOf(ranges, own) };
}

/** user_namespaces(7) takes 340 lines, in less than a page. */
const MOST_RANGES = 100;
/** 2^32-1 means "no change" to the kernel. */
export const MAX_ID = 2 ** 32 - 2;

/** The lines of a user, by name or number. What is malformed, or there twice, is left out. @internal */
export function rangesOf(text: string, uid: number, name: string, own: number): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const match = /^([^:]+):(\d{1,10}):(\d{1,10})\s*$/.exec(line);
    if (match === null || (match[1] !== name && match[1] !== String(uid))) continue;
    const range = { first: Number(match[2]), count: Number(match[3]) };
    const end = range.first + range.count;
    if (range.count === 0 || end - 1 > MAX_ID || (own >= range.first && own < end)) continue;
    if (ranges.some(({ first, count }) => range.first < first + count && first < end)) continue;
    if (ranges.push(range) === MOST_RANGES) break;
  }
  return ranges;
}

/** Root inside is the user; the others follow, in the order of the file. @internal */
export function mapOf(ranges: readonly IdRange[], own: number): string {
  let next = 1;
  const parts = [`0:${own}:1`];
  for (const { first, count } of ranges) {
    parts.push(`${next}:${first}:${count}`);
    next += count;
  }
  return parts.join(',');
}

/** Where a distribution puts it, not PATH: it runs with root's rights. */
function findProgram(name: string): string | undefined {
  const folders = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/bin', '/sbin'];
  return folders
    .map((folder) => `${folder}/${name}`)
    .find((path) => mayAccess(path, constants.X_OK));
}

/** '' when the user has no entry: then the number is all there is. */
function userName(uid: number): string {
  try {
    const info = userInfo();
    return info.uid === uid ? info.username : '';
  } catch {
    return '';
  }
}
