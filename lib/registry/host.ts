import type { Readable } from 'node:stream';
import { CaissonError, type RegistryError } from '../errors/index.js';
import { discard, invalidAnswer, readBody, refusal, unreachable, type Attempt } from './answer.js';
import { Authorizer } from './authorizer.js';
import { parseChallenges } from './challenge.js';
import type { DockerConfig } from './docker-config.js';
import { towardsOthers, type Endpoint } from './endpoint.js';
import { patiently } from './patience.js';
import { codesOf, isBroken, wantsCertificate, type RetryPolicy } from './retry.js';
import { Shared } from './shared.js';
import { headerOf, type Answer, type Exchange, type Transport } from './transport.js';

const MAX_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What a server that speaks TLS answers to who does not. */
const SPEAKS_TLS = 400;
/** What a server that does not speak TLS makes of the attempt. */
const NO_TLS = /^(?:EPROTO|ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST))$/;

export interface HostRequest {
  readonly method: Exchange['method'];
  /** Below `/v2/`, or whole: what the registry said where to go on. */
  readonly to: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** A function is called for each attempt. */
  readonly body?: Uint8Array | (() => Readable);
  readonly scopes: readonly string[];
  readonly attempt: Attempt;
  readonly signal?: AbortSignal | undefined;
  /** A success is read whole, and is no longer than this: what breaks while it comes is made again, too. */
  readonly atMost?: number;
  /** Whether it may be made again when the connection breaks. @defaultValue `true` */
  readonly repeatable?: boolean;
}

/** One server of the distribution API, with what it asks for: scheme, credentials, redirects, patience. */
export class RegistryHost {
  readonly endpoint: Endpoint;
  readonly policy: RetryPolicy;
  readonly authorizer: Authorizer;
  readonly #transport: Transport;
  readonly #base = new Shared<URL>();

  constructor(
    endpoint: Endpoint,
    by: {
      readonly config: DockerConfig;
      readonly transport: Transport;
      readonly policy: RetryPolicy;
    },
  ) {
    this.endpoint = endpoint;
    this.policy = by.policy;
    this.#transport = by.transport;
    this.authorizer = new Authorizer(endpoint, by.config, by);
  }

  /**
   * The last answer, whatever its status. Credentials are sent to this server alone: not where it redirects to, nor where
   * it wants an upload to go on.
   */
  async send(request: HostRequest): Promise<Answer> {
    const { attempt, signal } = request;
    const base = await this.#base.get(async (stop) => await this.#find(attempt, stop), signal);
    const run = async (): Promise<Answer> => {
      const answer = await this.#authorized(request, base);
      if (request.atMost === undefined || answer.status !== 200) return answer;
      return { ...answer, bytes: await readBody(attempt, answer, request.atMost) };
    };
    if (request.repeatable !== false) {
      return await patiently(run, { registry: attempt.registry, policy: this.policy, signal });
    }
    try {
      return await run();
    } catch (error) {
      if (CaissonError.is(error) || signal?.aborted === true) throw error;
      throw unreachable(attempt.registry, error);
    }
  }

  /** What `answer` is for the caller, when it is no success. */
  async refusal(attempt: Attempt, answer: Answer): Promise<RegistryError> {
    return await refusal({ ...attempt, hint: this.authorizer.hint }, answer);
  }

  /** `/v2/`: which scheme the server speaks, and what it asks for. Some say the latter only there. */
  async #find(attempt: Attempt, signal: AbortSignal): Promise<URL> {
    const { host, schemes, tls } = this.endpoint;
    let base = new URL(`${schemes[0] ?? 'https:'}//${host}/v2/`);
    const answer = await patiently(
      async () => {
        let broken: unknown;
        for (const [i, scheme] of schemes.entries()) {
          base = new URL(`${scheme}//${host}/v2/`);
          try {
            const found = await this.#transport.exchange(
              { method: 'GET', url: base, headers: {}, signal },
              tls,
            );
            if (found.status !== SPEAKS_TLS || broken === undefined) return found;
            // Then it was no lack of TLS before.
            discard(found.body);
            throw unreachable(attempt.registry, broken);
          } catch (error) {
            broken ??= error;
            const last = i === schemes.length - 1;
            const speaksNoTls = codesOf(error).some((code) => NO_TLS.test(code)) || isBroken(error);
            if (last || !speaksNoTls || wantsCertificate(error) || signal.aborted) throw error;
          }
        }
        throw new Error('an endpoint has a scheme');
      },
      { registry: attempt.registry, policy: this.policy, signal },
    );
    discard(answer.body);
    if (answer.status === 401) this.#learn(answer, base);
    return base;
  }

  async #authorized(request: HostRequest, base: URL): Promise<Answer> {
    const { answer, sent } = await this.#follow(request, base);
    if (answer.status !== 401 || answer.url.origin !== base.origin) return answer;
    // A token that has ended, or the first that we hear of any.
    const { scopes, attempt, signal } = request;
    this.authorizer.forget(scopes);
    this.#learn(answer, base);
    const other = await this.authorizer.header(scopes, attempt, signal);
    if (other === undefined || other === sent) return answer;
    discard(answer.body);
    return (await this.#follow(request, base)).answer;
  }

  #learn(answer: Answer, base: URL): void {
    this.authorizer.learn(parseChallenges(answer.headers['www-authenticate']), base);
  }

  async #follow(
    request: HostRequest,
    base: URL,
  ): Promise<{ readonly answer: Answer; readonly sent: string | undefined }> {
    const { method, to, headers, body, scopes, attempt, signal } = request;
    let url = typeof to === 'string' ? new URL(base.href + to) : to;
    let ours = true;
    for (let hops = 0; ; hops++) {
      ours &&= url.origin === base.origin;
      const authorization = ours
        ? await this.authorizer.header(scopes, attempt, signal)
        : undefined;
      // Another host must be who its certificate says: nobody said otherwise of it.
      const answer = await this.#transport.exchange(
        {
          method,
          url,
          headers: { ...headers, ...(authorization !== undefined && { authorization }) },
          ...(body !== undefined && { body: typeof body === 'function' ? body() : body }),
          signal,
        },
        url.origin === base.origin ? this.endpoint.tls : towardsOthers(this.endpoint.tls),
      );
      const safe = method === 'GET' || method === 'HEAD' || [307, 308].includes(answer.status);
      if (!REDIRECTS.has(answer.status) || !safe) return { answer, sent: authorization };
      discard(answer.body);
      if (hops === MAX_REDIRECTS) throw invalidAnswer(attempt, 'it redirects again and again');
      url = nextUrl(headerOf(answer, 'location'), url, attempt);
    }
  }
}

/** Where a Location leads: by HTTP or HTTPS, and never from the latter to the former. */
export function nextUrl(location: string | undefined, from: URL, attempt: Attempt): URL {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw invalidAnswer(attempt, 'it says to go on elsewhere, and not where');
  }
  const url = new URL(location, from);
  if (url.protocol !== 'https:' && (url.protocol !== 'http:' || from.protocol === 'https:')) {
    throw invalidAnswer(attempt, `it redirects from ${from.protocol}// to ${url.protocol}//`);
  }
  url.username = url.password = url.hash = '';
  return url;
}
