import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { isAbsent } from '../store/files.js';

/** What belongs to one registry, as PEM. */
export interface StoredCertificates {
  /** Of authorities. */
  readonly ca: readonly string[];
  /** By which this program shows who it is; of each its key at the same place in `keys`. */
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
}

const NONE: StoredCertificates = { ca: [], certificates: [], keys: [] };
const MAX_BYTES = 1 << 20;

/** Where Docker has them: without root (docker(1), "rootless mode"), and for everybody on this machine. */
const folders = (): readonly string[] => [
  join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'docker/certs.d'),
  '/etc/docker/certs.d',
];

/**
 * Docker's `certs.d/HOST`: `*.crt` are authorities, `NAME.cert` and `NAME.key` a certificate of one's own. The first folder
 * that has the host counts.
 *
 * @param host - With its port, as names of images have it.
 * @throws {@link CaissonError} `ERR_CREDENTIALS_FAILED` for what cannot be read, or is one of the two alone
 */
export async function storedCertificates(
  host: string,
  inFolders: readonly string[] = folders(),
): Promise<StoredCertificates> {
  for (const folder of inFolders) {
    const path = join(folder, host);
    const names = await namesIn(path);
    if (names !== undefined) return await readAll(path, names);
  }
  return NONE;
}

async function namesIn(path: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw failed(path, 'it cannot be read', error);
  }
}

async function readAll(folder: string, names: readonly string[]): Promise<StoredCertificates> {
  const withEnd = (end: string): readonly string[] => names.filter((name) => name.endsWith(end));
  const own = withEnd('.cert').map((name) => name.slice(0, -'.cert'.length));
  for (const name of own) {
    if (!names.includes(`${name}.key`)) {
      throw failed(join(folder, `${name}.cert`), `there is no ${name}.key beside it`);
    }
  }
  for (const key of withEnd('.key')) {
    if (!own.includes(key.slice(0, -'.key'.length))) {
      throw failed(join(folder, key), `there is no ${key.replace(/key$/, 'cert')} beside it`);
    }
  }
  const read = async (list: readonly string[]): Promise<string[]> =>
    await Promise.all(list.map(async (name) => await readText(join(folder, name))));
  return {
    ca: await read(withEnd('.crt')),
    certificates: await read(own.map((name) => `${name}.cert`)),
    keys: await read(own.map((name) => `${name}.key`)),
  };
}

async function readText(path: string): Promise<string> {
  try {
    const status = await stat(path);
    if (!status.isFile() || status.size > MAX_BYTES)
      throw failed(path, 'it is no certificate file');
    return await readFile(path, 'utf8');
  } catch (error) {
    if (CaissonError.is(error)) throw error;
    throw failed(path, 'it cannot be read', error);
  }
}

const failed = (source: string, reason: string, cause?: unknown): CaissonError =>
  new CaissonError(
    'ERR_CREDENTIALS_FAILED',
    { source, reason },
    cause === undefined ? {} : { cause },
  );
