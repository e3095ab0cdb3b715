import { invalid } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { Auth } from '../runtime/options.js';
import type { Attempt } from './answer.js';
import type { Challenge } from './challenge.js';
import type { DockerConfig } from './docker-config.js';
import { towardsOthers, type Endpoint } from './endpoint.js';
import type { RetryPolicy } from './retry.js';
import { Shared } from './shared.js';
import { basic, TokenServer, type Token } from './token.js';
import { mayTrustRealm } from './trust.js';
import type { Transport } from './transport.js';

/** What the registry asked for: nothing, a name and password, or a token of this server. */
type Scheme =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic' }
  | { readonly kind: 'bearer'; readonly server: TokenServer; readonly trusted: boolean };

/** `'repository:library/alpine:pull'` */
export const repositoryScope = (repository: string, ...actions: string[]): string =>
  `repository:${repository}:${actions.join(',')}`;

/** The Authorization header of one endpoint: what it asks for, made of what we have. */
export class Authorizer {
  readonly #endpoint: Endpoint;
  readonly #config: DockerConfig;
  readonly #by: { readonly transport: Transport; readonly policy: RetryPolicy };
  #scheme: Scheme = { kind: 'none' };
  readonly #auth = new Shared<Auth | undefined>();
  readonly #tokens = new Map<string, Shared<Token>>();

  constructor(
    endpoint: Endpoint,
    config: DockerConfig,
    by: { readonly transport: Transport; readonly policy: RetryPolicy },
  ) {
    this.#endpoint = endpoint;
    this.#config = config;
    this.#by = by;
  }

  /** Takes what a 401 of the registry, from `from`, asks for; what we do not know is left. */
  learn(challenges: readonly Challenge[], from: URL): void {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const realm = bearer?.parameters.get('realm') ?? '';
    if (URL.canParse(realm)) {
      this.#learnBearer(new URL(realm), bearer?.parameters.get('service'), from);
    } else if (challenges.some(({ scheme }) => scheme === 'basic')) {
      this.#scheme = { kind: 'basic' };
    }
  }

  #learnBearer(realm: URL, service: string | undefined, from: URL): void {
    const { authHosts, tls } = this.#endpoint;
    const verdict = mayTrustRealm(realm, from, authHosts);
    if (verdict === 'refused') return;
    // How its own host is spoken to; nobody said so of another one.
    const others = verdict === 'trusted' ? { ...tls, verify: true } : towardsOthers(tls);
    const settings = realm.host === from.host ? tls : others;
    const server = new TokenServer(realm, service, { ...this.#by, tls: settings });
    const before = this.#scheme;
    if (before.kind !== 'bearer' || !before.server.isSame(server)) this.#tokens.clear();
    this.#scheme = { kind: 'bearer', server, trusted: verdict === 'trusted' };
  }

  /** Undefined where nothing is asked for, or nothing is known. */
  async header(
    scopes: readonly string[],
    attempt: Attempt,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const scheme = this.#scheme;
    if (scheme.kind === 'none') return undefined;
    const auth = await this.#credentials(signal);
    if (auth !== undefined && 'token' in auth) return `Bearer ${auth.token}`;
    if (scheme.kind === 'basic') {
      return auth === undefined || !('username' in auth) ? undefined : basic(auth);
    }
    const { server, trusted } = scheme;
    const shared = this.#tokenOf(scopes);
    // Of the registry's own documents nothing is asked there.
    const asking = { registry: attempt.registry, action: attempt.action, hint: this.hint };
    const start = async (stop: AbortSignal): Promise<Token> => {
      try {
        return await server.fetch(scopes, trusted ? auth : undefined, asking, stop);
      } catch (error) {
        if (CaissonError.is(error, 'ERR_REGISTRY_DENIED')) this.#auth.forget();
        throw error;
      }
    };
    let token = await shared.get(start, signal);
    if (token.endsAt < performance.now()) {
      shared.forget();
      token = await shared.get(start, signal);
    }
    return `Bearer ${token.value}`;
  }

  /** What was sent for these was refused: it is looked for anew, as somebody may have logged in meanwhile. */
  forget(scopes: readonly string[]): void {
    this.#tokenOf(scopes).forget();
    this.#auth.forget();
  }

  /** What is stored has changed. */
  forgetAll(): void {
    this.#tokens.clear();
    this.#auth.forget();
  }

  /**
   * Of credentials that were taken, what to keep: an identity token instead of a password, where there is one.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` when nobody has seen them: the token server is on another host
   */
  async toKeep(attempt: Attempt, signal?: AbortSignal): Promise<Auth | undefined> {
    const { auth } = this.#endpoint;
    const scheme = this.#scheme;
    if (scheme.kind !== 'bearer' || auth === undefined || 'token' in auth) return auth;
    if (!scheme.trusted) throw invalid('auth', this.hint ?? '');
    const { identityToken } = await scheme.server.fetch([], auth, attempt, signal, {
      offline: true,
    });
    return identityToken === undefined ? auth : { identityToken };
  }

  /** What may help when it was all refused. */
  get hint(): string | undefined {
    const scheme = this.#scheme;
    if (scheme.kind !== 'bearer' || scheme.trusted) return undefined;
    const host = JSON.stringify(scheme.server.host);
    return `Its token server is on another host, ${host}, which was given no credentials: where that is right, allow it with \`authHosts\` of the registry's entry in \`registries\`.`;
  }

  async #credentials(signal?: AbortSignal): Promise<Auth | undefined> {
    const { auth, server } = this.#endpoint;
    if (auth !== undefined) return auth;
    return await this.#auth.get(async (stop) => await this.#config.find(server, stop), signal);
  }

  #tokenOf(scopes: readonly string[]): Shared<Token> {
    const key = scopes.join(' ');
    let shared = this.#tokens.get(key);
    if (shared === undefined) this.#tokens.set(key, (shared = new Shared()));
    return shared;
  }
}
