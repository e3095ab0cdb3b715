import { access, constants, lstat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { errnoOf, makeFolder } from '../store/files.js';
import type { Mode } from './parts.js';
import type { OpenRequest } from './request.js';

export interface Folders {
  readonly mode: Mode;
  readonly root: string;
  readonly runDir: string;
}

/** Where store and run folder are, and who is asking. */
export function resolveFolders(request: OpenRequest): Folders {
  const isRoot = process.geteuid?.() === 0;
  if (request.mode === 'root' && !isRoot) {
    throw invalid('mode', "'root' needs a program that runs as root");
  }
  const mode = request.mode === 'auto' ? (isRoot ? 'root' : 'rootless') : request.mode;
  return {
    mode,
    root: request.root ?? defaultRoot(isRoot),
    runDir: request.runDir ?? defaultRunDir(isRoot),
  };
}

export function defaultFolders(): Pick<Folders, 'root' | 'runDir'> {
  const isRoot = process.geteuid?.() === 0;
  return { root: defaultRoot(isRoot), runDir: defaultRunDir(isRoot) };
}

function defaultRoot(isRoot: boolean): string {
  if (isRoot) return '/var/lib/caisson';
  const data = process.env['XDG_DATA_HOME'];
  return join(isAbsolute(data) ? data : join(homedir(), '.local', 'share'), 'caisson');
}

function defaultRunDir(isRoot: boolean): string {
  if (isRoot) return '/run/caisson';
  const run = process.env['XDG_RUNTIME_DIR'];
  // Unset under su and sudo: then a folder of one's own in the temp folder, whose owner is checked.
  if (!isAbsolute(run)) return join(tmpdir(), `caisson-${process.geteuid?.() ?? 0}`);
  return join(run, 'caisson');
}

const isAbsolute = (path: string | undefined): path is string => path?.startsWith('/') === true;

/** A folder that only its owner can enter and that can be written to; one that others could have put there is refused. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    await makeFolder(path);
    const status = await lstat(path);
    if (!status.isDirectory()) throw unusable(path, 'it is not a folder');
    const own = process.geteuid?.() ?? status.uid;
    if (status.uid !== own || (status.mode & 0o022) !== 0) {
      throw unusable(path, 'it belongs to another user, or others may write to it');
    }
    await access(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    if (CaissonError.is(error)) throw error;
    const errno = errnoOf(error) ?? String(error);
    const reason =
      errno === 'EROFS' ? 'its file system is read-only' : `it cannot be used (${errno})`;
    throw unusable(path, reason, error);
  }
}

function unusable(root: string, reason: string, cause?: unknown): CaissonError {
  const hint = "Give Runtime.open() a `runDir` that is this user's alone (0700).";
  const options = cause === undefined ? { hint } : { hint, cause };
  return new CaissonError('ERR_STORE_UNUSABLE', { root, reason }, options);
}
