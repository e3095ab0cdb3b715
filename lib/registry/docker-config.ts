import { open, realpath } from 'node:fs/promises';
import { constants } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import type { Auth } from '../runtime/options.js';
import { isAbsent, makeFolder, writeAtomically } from '../store/files.js';
import { CredentialHelper } from './credential-helper.js';

const MAX_BYTES = 1 << 20;
/** The username with which helpers hand out an identity token. */
const TOKEN_USER = '<token>';

type Table = Readonly<Record<string, unknown>>;

/** Docker's `config.json`: who one is to which registry, or which helper knows. */
export class DockerConfig {
  readonly path: string;

  constructor(folder = process.env['DOCKER_CONFIG'] || join(homedir(), '.docker')) {
    this.path = join(folder, 'config.json');
  }

  /**
   * What is stored for a server; undefined when nothing is.
   *
   * @throws {@link CaissonError} `ERR_CREDENTIALS_FAILED`: a helper that fails is not the same as one that knows nothing
   */
  async find(server: string, signal?: AbortSignal): Promise<Auth | undefined> {
    const config = await this.#read();
    const found = await this.#helper(config, server)?.get(server, signal);
    if (found !== undefined) {
      const { username, secret } = found;
      return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
    }
    return this.#inFile(table(config['auths']), server);
  }

  /** Keeps it the way `docker login` does. Returns where: the file, or the helper's name. */
  async store(server: string, auth: Auth, signal?: AbortSignal): Promise<string> {
    if ('token' in auth) throw this.#failed('a registry token is not for keeping');
    const config = await this.#read();
    const helper = this.#helper(config, server);
    if (helper === undefined) {
      await this.#write({
        ...config,
        auths: { ...table(config['auths']), [server]: entryOf(auth) },
      });
      return this.path;
    }
    const credential =
      'identityToken' in auth
        ? { username: TOKEN_USER, secret: auth.identityToken }
        : { username: auth.username, secret: auth.password };
    await helper.store(server, credential, signal);
    // Docker notes which servers the helper knows.
    await this.#write({ ...config, auths: { ...table(config['auths']), [server]: {} } });
    return helper.program;
  }

  /** False when nothing was stored. */
  async erase(server: string, signal?: AbortSignal): Promise<boolean> {
    const config = await this.#read();
    const auths = { ...table(config['auths']) };
    const helper = this.#helper(config, server);
    const known = helper !== undefined && (await helper.get(server, signal)) !== undefined;
    if (known) await helper.erase(server, signal);
    const listed = server in auths;
    if (listed) {
      const { [server]: _gone, ...rest } = auths;
      await this.#write({ ...config, auths: rest });
    }
    return known || listed;
  }

  #helper(config: Table, server: string): CredentialHelper | undefined {
    const helpers = table(config['credHelpers']);
    const name = helpers[server] ?? helpers[hostOf(server)] ?? config['credsStore'];
    return typeof name === 'string' && name !== '' ? new CredentialHelper(name) : undefined;
  }

  #inFile(auths: Table, server: string): Auth | undefined {
    // As it stands there, or the same host in another spelling (`https://host/v1/`).
    const key =
      server in auths ? server : Object.keys(auths).find((one) => hostOf(one) === hostOf(server));
    if (key === undefined) return undefined;
    const { auth, username, password, identitytoken, registrytoken } = table(auths[key]);
    if (isText(identitytoken)) return { identityToken: identitytoken };
    if (isText(registrytoken)) return { token: registrytoken };
    if (isText(username) && isText(password)) return { username, password };
    if (!isText(auth)) return undefined;
    const text = Buffer.from(auth, 'base64').toString().replace(/\0+$/, '');
    const colon = text.indexOf(':');
    if (colon <= 0) throw this.#failed(`"auth" of ${JSON.stringify(key)} is not name:password`);
    return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  }

  async #read(): Promise<Table> {
    let text: string;
    try {
      // A FIFO would wait for ever.
      const file = await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const status = await file.stat();
        if (!status.isFile() || status.size > MAX_BYTES) throw this.#failed('it is no small file');
        text = await file.readFile('utf8');
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isAbsent(error)) return {};
      if (CaissonError.is(error)) throw error;
      throw this.#failed((error as Error).message, error);
    }
    try {
      const config: unknown = JSON.parse(text);
      if (typeof config === 'object' && config !== null && !Array.isArray(config)) {
        return config as Table;
      }
    } catch {
      // Its text may hold secrets: the parser's message shows some of it.
    }
    throw this.#failed('it is not a JSON object');
  }

  async #write(config: Table): Promise<void> {
    // Through a link, as those who keep such files in a repository have them.
    const path = await realpath(this.path).catch(() => this.path);
    await makeFolder(dirname(path));
    await writeAtomically(path, `${JSON.stringify(config, undefined, '\t')}\n`, 'disk');
  }

  #failed(reason: string, cause?: unknown): CaissonError {
    const details = { source: this.path, reason };
    return new CaissonError(
      'ERR_CREDENTIALS_FAILED',
      details,
      cause === undefined ? {} : { cause },
    );
  }
}

function entryOf(auth: Exclude<Auth, { token: string }>): Table {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return 'identityToken' in auth
    ? { auth: base64(`${TOKEN_USER}:`), identitytoken: auth.identityToken }
    : { auth: base64(`${auth.username}:${auth.password}`) };
}

/** `https://index.docker.io/v1/` → `index.docker.io`. */
const hostOf = (server: string): string =>
  server
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/, '')
    .toLowerCase();

const table = (value: unknown): Table =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Table) : {};

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
