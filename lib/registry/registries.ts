import type { Auth } from '../runtime/options.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { RegistrySettings } from '../runtime/registries-request.js';
import { RegistryClient } from './client.js';
import { DockerConfig } from './docker-config.js';
import { endpointsOf, type Endpoint } from './endpoint.js';
import { RegistryHost } from './host.js';
import { RETRY_POLICY, type RetryPolicy } from './retry.js';
import { Transport } from './transport.js';

const REGISTRIES = Symbol('caisson.registries');

/** Every registry as one set of settings reaches it: connections and tokens are shared. */
export class Registries {
  readonly #settings: readonly RegistrySettings[];
  readonly #policy: RetryPolicy;
  readonly #transport = new Transport();
  readonly #clients = new Map<string, RegistryClient>();

  constructor(settings: readonly RegistrySettings[], policy: RetryPolicy = RETRY_POLICY) {
    this.#settings = settings;
    this.#policy = policy;
  }

  /** @param auth - Instead of what is configured or stored; for the registry itself, not for its mirrors. */
  client(domain: string, auth?: Auth): RegistryClient {
    const known = auth === undefined ? this.#clients.get(domain) : undefined;
    if (known !== undefined) return known;
    const { mirrors, origin } = endpointsOf(domain, this.#settings);
    const host = (endpoint: Endpoint): RegistryHost =>
      new RegistryHost(endpoint, {
        config: new DockerConfig(),
        transport: this.#transport,
        policy: this.#policy,
      });
    const own = auth === undefined ? origin : { ...origin, auth };
    const ownHost = host(own);
    const client = new RegistryClient(domain, {
      mirrors: mirrors.map(host),
      origin: ownHost,
      search: own.search === own.host ? ownHost : host({ ...own, host: own.search }),
    });
    if (auth === undefined) this.#clients.set(domain, client);
    return client;
  }

  async close(): Promise<void> {
    this.#clients.clear();
    await this.#transport.close();
  }
}

/** Those of a Runtime; their connections end with it. */
export function registriesOf(parts: RuntimeParts): Registries {
  return parts.slot(REGISTRIES, () => {
    const registries = new Registries(parts.registries);
    parts.onClose(async () => await registries.close());
    return registries;
  });
}
