import type { Call } from '../runtime/call.js';
import { registerStore } from '../runtime/registry.js';
import type { Runtime } from '../runtime/runtime.js';
import { Network, type NetworkOptions } from './network.js';

type Unbound<O> = Omit<O, 'runtime'>;

/** `runtime.networks`: the statics of {@link Network}, bound to one Runtime. */
export class NetworkStore {
  readonly #runtime: Runtime;

  /** @internal */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** {@link Network.create} */
  async create(options?: Unbound<NetworkOptions>): Promise<Network> {
    return await Network.create({ ...options, runtime: this.#runtime });
  }

  /** {@link Network.get} */
  async get(name: string, options?: Unbound<Call>): Promise<Network> {
    return await Network.get(name, { ...options, runtime: this.#runtime });
  }

  /** {@link Network.list} */
  async list(options?: Unbound<Call>): Promise<Network[]> {
    return await Network.list({ ...options, runtime: this.#runtime });
  }

  async prune(options?: Unbound<Call>): Promise<string[]> {
    await this.list(options);
    return [];
  }
}

registerStore('networks', (runtime) => new NetworkStore(runtime));
