import { randomBytes } from 'node:crypto';
import { open as openFile } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { CaissonError } from '../errors/index.js';

/**
 * How far a record must have come when its write resolves: `'rename'`: whole or absent for every reader,
 * but a power cut may take it back; `'disk'`: it survives that too.
 */
export type Durability = 'rename' | 'disk';

/** Names that begin so are halves of something, nobody's once their maker is dead. */
export const TEMPORARY = '.tmp-';

export const temporaryName = (): string => TEMPORARY + randomBytes(8).toString('hex');

/** At once; the first failure is told when nothing goes on any more. */
export async function together(work: Iterable<Promise<unknown>>): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;

export const isAbsent = (error: unknown): boolean => errnoOf(error) === 'ENOENT';

/** For `catch`: what was to go is gone. */
export function ignoreAbsent(error: unknown): void {
  if (!isAbsent(error)) throw error;
}

/** What a folder has; nothing, where there is none. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    ignoreAbsent(error);
    return [];
  }
}

/** A bare descriptor, to be given away: nobody here closes it. */
export const openFd = promisify(openFile) as (path: string, flags: string) => Promise<number>;

/** Replaces a file: readers see the old text or the new one, never a part. */
export async function writeAtomically(
  path: string,
  text: string | Uint8Array,
  durability: Durability = 'rename',
): Promise<void> {
  await throughTemporary(path, text, durability, rename);
}

/** As writeAtomically, but false when `path` exists already. */
export async function createAtomically(
  path: string,
  text: string | Uint8Array,
  durability: Durability = 'rename',
): Promise<boolean> {
  try {
    await throughTemporary(path, text, durability, async (temporary, final) => {
      await link(temporary, final);
      await unlink(temporary);
    });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function throughTemporary(
  path: string,
  text: string | Uint8Array,
  durability: Durability,
  place: (temporary: string, final: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, temporaryName());
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      if (durability === 'disk') await file.sync();
    } finally {
      await file.close();
    }
    await place(temporary, path);
    if (durability === 'disk') await syncFolder(folder);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // it is gone, or never was
    throw storeError(error, path);
  }
}

/** A rename is on the disk once its folder is. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export async function writeJson(
  path: string,
  value: unknown,
  durability: Durability = 'rename',
): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(value)}\n`, durability);
}

/** What a JSON file says, or undefined when there is none. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw storeError(error, path);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new CaissonError(
      'ERR_STORE_CORRUPT',
      { path, reason: `${basename(path)} is not JSON` },
      { cause: error },
    );
  }
}

/**
 * Makes a folder (0700) and what is missing above it; one that exists is fine. Step by step: Node's own
 * `recursive` says ENOENT where the file system is read-only.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EEXIST') return;
    if (errno !== 'ENOENT' || dirname(path) === path) throw storeError(error, path);
    await makeFolder(dirname(path));
    await makeFolder(path);
  }
}

/** No space is an error of its own; every other one goes on as it is. */
export function storeError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new CaissonError('ERR_STORE_FULL', { path, errno }, { cause: error });
  }
  return error;
}
