import { lstatSync, mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
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

/** A folder that only its owner can enter; one that others could have put there is refused. */
export function makePrivateFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(path);
    const own = process.geteuid?.() ?? uid;
    if (uid !== own || (mode & 0o022) !== 0) {
      throw new CaissonError('ERR_STORE_UNUSABLE', {
        root: path,
        reason: 'it belongs to another user, or others may write to it',
      });
    }
  } catch (error) {
    if (CaissonError.is(error)) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new CaissonError('ERR_STORE_FULL', { path, errno: code }, { cause: error });
    }
    const reason = `it cannot be made (${code ?? String(error)})`;
    throw new CaissonError('ERR_STORE_UNUSABLE', { root: path, reason }, { cause: error });
  }
}
