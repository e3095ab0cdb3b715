import { watch, type FSWatcher } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { takeRecords, type LogRecord } from './log-records.js';

/** More than the longest record (64 KiB and its header): one read has at least a whole one. */
const READ_BYTES = 128 * 1024;

/**
 * Follows a log file from its end, over rotations (`log` becomes `log.1`, and so on), until its
 * end was told and all is read. A reader so slow that a whole set of files was rotated away under it
 * misses what they had.
 */
export class LogFollower {
  readonly #path: string;
  readonly #files: number;
  readonly #watcher: FSWatcher;
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  #file: FileHandle;
  #inode: number;
  /** Where the next record begins. */
  #position: number;
  /** How far the file went when it was read last. */
  #seen: number;
  #wake: (() => void) | undefined;
  #changed = false;
  #finished = false;
  #closed = false;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(path: string, files: number, watcher: FSWatcher, file: FileHandle, at: LogPlace) {
    this.#path = path;
    this.#files = files;
    this.#watcher = watcher;
    this.#file = file;
    this.#inode = at.ino;
    this.#position = at.size;
    this.#seen = at.size;
    watcher.on('change', () => {
      this.#notice();
    });
    // The folder is being removed: what is open can still be read.
    watcher.on('error', () => {
      this.#finish();
    });
  }

  /** Follows from `at`; null when the log is gone. */
  static async open({ path, files, at, end }: LogSource): Promise<LogFollower | null> {
    // Watched before it is looked at, so that nothing falls between the two.
    let watcher: FSWatcher | undefined;
    try {
      watcher = watch(dirname(path), { persistent: false });
      const { file, start } = await openAt(path, files, at);
      const follower = new LogFollower(path, files, watcher, file, start);
      void end.then(() => {
        follower.#finish();
      });
      return follower;
    } catch (error) {
      watcher?.close();
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** No more will be written: the rest is read, and then `next` says null. */
  #finish(): void {
    this.#finished = true;
    this.#notice();
  }

  async close(): Promise<void> {
    this.#watcher.close();
    this.#closed = true;
    this.#finish();
    // A read that is going on ends first.
    await this.#reading;
    await this.#file.close();
  }

  /** The next records, when there are some; null at the end. One call at a time. */
  async next(): Promise<LogRecord[] | null> {
    const reading = this.#next();
    this.#reading = reading.catch(() => undefined);
    return await reading;
  }

  async #next(): Promise<LogRecord[] | null> {
    for (;;) {
      if (this.#closed) return null;
      // Before reading: what is finished now is read to its end.
      const finished = this.#finished;
      this.#changed = false;
      const records = await this.#read();
      if (records.length > 0) return records;
      if (await this.#advance()) continue;
      if (finished) return null;
      if (!this.#isChanged()) await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #isChanged(): boolean {
    return this.#changed || this.#finished;
  }

  #notice(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /**
   * Always from the beginning of a record: one that there was no room for is taken back, and the half of it
   * that was read would be continued by another one.
   */
  async #read(): Promise<LogRecord[]> {
    for (;;) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, READ_BYTES, this.#position);
      this.#seen = this.#position + bytesRead;
      if (bytesRead === 0 && !(await this.#isEmptied())) return [];
      const { records, end } = takeRecords(Buffer.from(this.#buffer.subarray(0, bytesRead)));
      this.#position += end;
      if (records.length > 0) return records;
      if (end === 0 && bytesRead > 0) return [];
    }
  }

  /** A log that cannot be rotated begins anew. */
  async #isEmptied(): Promise<boolean> {
    const { size } = await this.#file.stat();
    if (size >= this.#position) return false;
    this.#position = 0;
    return true;
  }

  /** When the open file was rotated away: the one that was begun after it. */
  async #advance(): Promise<boolean> {
    const next = await this.#following();
    if (next === undefined) return false;
    // It may have grown between our last read and its rotation.
    const { size } = await this.#file.stat();
    if (size > this.#seen) return true;
    const file = await open(next.path, 'r').catch(() => undefined);
    if (file === undefined) return false; // rotated or removed meanwhile: looked for again after the next change
    if ((await file.stat()).ino !== next.ino) {
      await file.close();
      return true; // rotated: there is one between
    }
    await this.#file.close();
    this.#file = file;
    this.#inode = next.ino;
    this.#position = 0;
    this.#seen = 0;
    return true;
  }

  /** The file after the open one: files are numbered from the newest. */
  async #following(): Promise<{ path: string; ino: number } | undefined> {
    let newer: { path: string; ino: number } | undefined;
    for (const path of pathsOf(this.#path, this.#files)) {
      const found = await stat(path).catch(() => undefined);
      if (found?.ino === this.#inode) return newer;
      if (found !== undefined) newer = { path, ino: found.ino };
    }
    return newer; // ours is gone altogether: the oldest that is left
  }
}

/** A place in a log: in which file (the names change), and how far. */
export interface LogPlace {
  readonly ino: number;
  readonly size: number;
}

export interface LogSource {
  readonly path: string;
  /** How many files are kept. */
  readonly files: number;
  readonly at: LogPlace;
  /** When it settles no more will be written; the last bytes are there before. */
  readonly end: Promise<unknown>;
}

/** Where a log ends now. While it is being rotated the newest file may have no name. */
export async function endOfLog(path: string, files: number): Promise<LogPlace> {
  for (const candidate of pathsOf(path, files)) {
    const found = await stat(candidate).catch(() => undefined);
    if (found !== undefined) return { ino: found.ino, size: found.size };
  }
  return { ino: 0, size: 0 };
}

/** The newest first. */
const pathsOf = (path: string, files: number): string[] => [
  path,
  ...Array.from({ length: files - 1 }, (_, i) => `${path}.${i + 1}`),
];

/** The file that a place is in; when it was rotated away since, the oldest that is left. */
async function openAt(
  path: string,
  files: number,
  at: LogPlace,
): Promise<{ file: FileHandle; start: LogPlace }> {
  for (const candidate of pathsOf(path, files)) {
    const file = await open(candidate, 'r').catch(() => undefined);
    if (file === undefined) continue;
    if ((await file.stat()).ino === at.ino) {
      return { file, start: { ino: at.ino, size: await recordBefore(file, at.size) } };
    }
    await file.close();
  }
  for (const candidate of pathsOf(path, files).reverse()) {
    const file = await open(candidate, 'r').catch(() => undefined);
    if (file === undefined) continue;
    return { file, start: { ino: (await file.stat()).ino, size: 0 } };
  }
  throw Object.assign(new Error(`no log at ${path}`), { code: 'ENOENT' });
}

/** Where the record begins that reaches to `size` or beyond: a file may be looked at while one is being written. */
async function recordBefore(file: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let at = 0; ;) {
    const wanted = Math.min(READ_BYTES, size - at);
    const { bytesRead } = await file.read(buffer, 0, wanted, at);
    const { end } = takeRecords(buffer.subarray(0, bytesRead));
    if (end === 0) return at;
    at += end;
  }
}
