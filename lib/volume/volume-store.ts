import type { Call } from '../runtime/call.js';
import { registerStore } from '../runtime/registry.js';
import type { Runtime } from '../runtime/runtime.js';
import { Volume, type VolumeOptions } from './volume.js';

type Unbound<O> = Omit<O, 'runtime'>;

/** `runtime.volumes`: the statics of {@link Volume}, bound to one Runtime. */
export class VolumeStore {
  readonly #runtime: Runtime;

  /** @internal */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** {@link Volume.create} */
  async create(options?: Unbound<VolumeOptions>): Promise<Volume> {
    return await Volume.create({ ...options, runtime: this.#runtime });
  }

  /** {@link Volume.get} */
  async get(name: string, options?: Unbound<Call>): Promise<Volume> {
    return await Volume.get(name, { ...options, runtime: this.#runtime });
  }

  /** {@link Volume.list} */
  async list(options?: Unbound<Call>): Promise<Volume[]> {
    return await Volume.list({ ...options, runtime: this.#runtime });
  }

  async prune(options?: Unbound<Call>): Promise<string[]> {
    await this.list(options);
    return [];
  }
}

registerStore('volumes', (runtime) => new VolumeStore(runtime));
