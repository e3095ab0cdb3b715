import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { abortError, CaissonError, throwIfAborted } from '../errors/index.js';

const MAX_OUTPUT_BYTES = 1 << 20;
/** What the helpers of docker-credential-helpers say of a server that they do not know. */
const NOT_FOUND = /credentials not found|no credentials server url|no credentials username/i;

export interface HelperCredential {
  readonly username: string;
  readonly secret: string;
}

/** `docker-credential-NAME`: a program that keeps credentials. The server's name and secrets go by its standard input. */
export class CredentialHelper {
  readonly program: string;

  /** @throws {@link CaissonError} `ERR_CREDENTIALS_FAILED` for what cannot be part of a program's name */
  constructor(name: string) {
    if (!/^[a-z0-9-]+$/.test(name)) {
      throw new CaissonError('ERR_CREDENTIALS_FAILED', {
        source: name.slice(0, 80),
        reason: 'the name of a helper has a-z, 0-9 and - only',
      });
    }
    this.program = `docker-credential-${name}`;
  }

  /** Undefined when it has none for the server. */
  async get(server: string, signal?: AbortSignal): Promise<HelperCredential | undefined> {
    const output = await this.#run('get', server, signal);
    if (output === undefined) return undefined;
    let found: unknown;
    try {
      found = JSON.parse(output);
    } catch {
      throw this.#failed('what it printed is not JSON');
    }
    const { Username, Secret } = (found ?? {}) as { Username?: unknown; Secret?: unknown };
    if (typeof Username !== 'string' || typeof Secret !== 'string') {
      throw this.#failed('what it printed has no Username and Secret');
    }
    return Secret === '' ? undefined : { username: Username, secret: Secret };
  }

  async store(
    server: string,
    { username, secret }: HelperCredential,
    signal?: AbortSignal,
  ): Promise<void> {
    const text = JSON.stringify({ ServerURL: server, Username: username, Secret: secret });
    await this.#run('store', text, signal);
  }

  /** That there were none is fine. */
  async erase(server: string, signal?: AbortSignal): Promise<void> {
    await this.#run('erase', server, signal);
  }

  /** What it prints; undefined when it says that it has nothing. */
  async #run(verb: string, input: string, signal?: AbortSignal): Promise<string | undefined> {
    throwIfAborted(signal);
    const child = spawn(this.program, [verb], {
      stdio: ['pipe', 'pipe', 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    });
    const exited = once(child, 'close') as Promise<[number | null]>;
    child.stdin.on('error', () => undefined); // it did not want to read
    child.stdin.end(input);
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      if ((size += chunk.length) > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    let code: number | null;
    try {
      [code] = await exited;
    } catch (error) {
      if (signal?.aborted === true) throw abortError(signal);
      const { code: errno } = error as NodeJS.ErrnoException;
      throw this.#failed(errno === 'ENOENT' ? 'there is no such program' : String(error), error);
    }
    const output = Buffer.concat(chunks).toString();
    if (code === 0) return output;
    if (NOT_FOUND.test(output)) return undefined;
    throw this.#failed(
      `it ended with ${code ?? 'a signal'}: ${JSON.stringify(output.trim().slice(0, 200))}`,
    );
  }

  #failed(reason: string, cause?: unknown): CaissonError {
    const details = { source: this.program, reason };
    return new CaissonError(
      'ERR_CREDENTIALS_FAILED',
      details,
      cause === undefined ? {} : { cause },
    );
  }
}
