import type { Auth } from '../runtime/options.js';
import { invalidAnswer, parseObject, readBody, refusal, type Attempt } from './answer.js';
import type { TlsSettings } from './endpoint.js';
import { patiently } from './patience.js';
import type { RetryPolicy } from './retry.js';
import type { Answer, Exchange, Transport } from './transport.js';

const MAX_TOKEN_BYTES = 1 << 20;
/** The specification's, where the answer does not say. */
const DEFAULT_LIFE_S = 60;
const LONGEST_LIFE_S = 24 * 3600;
const CLIENT = 'caisson';

export interface Token {
  readonly value: string;
  /** As `performance.now()` counts: a little before it really does. */
  readonly endsAt: number;
  /** For `login`: what gets further tokens. */
  readonly identityToken?: string;
}

/** The server that a registry's challenge names: gives tokens for scopes. */
export class TokenServer {
  readonly #url: URL;
  readonly #service: string | undefined;
  readonly #tls: TlsSettings;
  readonly #transport: Transport;
  readonly #policy: RetryPolicy;

  constructor(
    url: URL,
    service: string | undefined,
    by: { readonly tls: TlsSettings; readonly transport: Transport; readonly policy: RetryPolicy },
  ) {
    this.#url = url;
    this.#service = service;
    this.#tls = by.tls;
    this.#transport = by.transport;
    this.#policy = by.policy;
  }

  get host(): string {
    return this.#url.host;
  }

  isSame(other: TokenServer): boolean {
    return this.#url.href === other.#url.href && this.#service === other.#service;
  }

  /**
   * A token for these scopes. A password is sent as Docker sends it, by GET; where a server knows OAuth2's POST only, by
   * that. An identity token goes by POST alone.
   */
  async fetch(
    scopes: readonly string[],
    auth: Exclude<Auth, { token: string }> | undefined,
    attempt: Attempt,
    signal?: AbortSignal,
    { offline = false }: { offline?: boolean } = {},
  ): Promise<Token> {
    const began = performance.now();
    let answer: Answer;
    if (auth !== undefined && 'identityToken' in auth) {
      answer = await this.#post(
        { grant_type: 'refresh_token', refresh_token: auth.identityToken },
        scopes,
        signal,
      );
    } else {
      answer = await this.#get(scopes, auth, offline, signal);
      if ((answer.status === 404 || answer.status === 405) && auth !== undefined) {
        const { username, password } = auth;
        const access = offline ? { access_type: 'offline' } : {};
        answer = await this.#post(
          { grant_type: 'password', username, password, ...access },
          scopes,
          signal,
        );
      }
    }
    if (answer.status !== 200) throw await refusal(attempt, answer);
    const { token, access_token, expires_in, refresh_token } = parseObject(attempt, answer.bytes);
    const value = isToken(token) ? token : access_token;
    if (!isToken(value)) throw invalidAnswer(attempt, 'the token server sent no token');
    const life = typeof expires_in === 'number' && expires_in > 0 ? expires_in : DEFAULT_LIFE_S;
    return {
      value,
      endsAt: began + Math.min(life, LONGEST_LIFE_S) * 900,
      ...(isToken(refresh_token) && { identityToken: refresh_token }),
    };
  }

  async #get(
    scopes: readonly string[],
    auth: { readonly username: string; readonly password: string } | undefined,
    offline: boolean,
    signal?: AbortSignal,
  ): Promise<Answer> {
    const url = new URL(this.#url);
    if (this.#service !== undefined) url.searchParams.set('service', this.#service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    if (auth !== undefined) url.searchParams.set('account', auth.username);
    if (offline) {
      url.searchParams.set('offline_token', 'true');
      url.searchParams.set('client_id', CLIENT);
    }
    const headers = auth === undefined ? {} : { authorization: basic(auth) };
    return await this.#exchange({ method: 'GET', url, headers, signal });
  }

  async #post(
    grant: Readonly<Record<string, string>>,
    scopes: readonly string[],
    signal?: AbortSignal,
  ): Promise<Answer> {
    const form = new URLSearchParams({ ...grant, client_id: CLIENT });
    if (this.#service !== undefined) form.set('service', this.#service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    return await this.#exchange({
      method: 'POST',
      url: this.#url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: Buffer.from(form.toString()),
      signal,
    });
  }

  /** A redirect is none of its answers: what it was given is for it alone. */
  async #exchange(exchange: Exchange): Promise<Answer> {
    const registry = this.host;
    const run = async (): Promise<Answer> => {
      const answer = await this.#transport.exchange(exchange, this.#tls);
      if (answer.status !== 200) return answer;
      const attempt = { registry, action: 'get a token' };
      return { ...answer, bytes: await readBody(attempt, answer, MAX_TOKEN_BYTES) };
    };
    return await patiently(run, { registry, policy: this.#policy, signal: exchange.signal });
  }
}

export const basic = ({ username, password }: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

const isToken = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);
