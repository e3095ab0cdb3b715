import type { Image } from '../image/image.js';
import type { Call } from '../runtime/call.js';
import { registerStore } from '../runtime/registry.js';
import type { Runtime } from '../runtime/runtime.js';
import type { ExecResult } from './collect.js';
import { Container } from './container.js';
import type { Filter } from './later-options.js';
import type { ContainerOptions, Encoding, RunOptions } from './options.js';

type Unbound<O> = Omit<O, 'runtime'>;

/** `runtime.containers`: the statics of {@link Container}, bound to one Runtime. */
export class ContainerStore {
  readonly #runtime: Runtime;

  /** @internal */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** {@link Container.run} */
  async run<E extends Encoding = 'utf8'>(
    image: string | Image,
    argv?: string[],
    options?: Unbound<RunOptions<E>>,
  ): Promise<ExecResult<E>> {
    const bound = { ...options, runtime: this.#runtime } as RunOptions<E>;
    return await Container.run(image, argv, bound);
  }

  /** {@link Container.create} */
  async create(options: Unbound<ContainerOptions>): Promise<Container> {
    return await Container.create({ ...options, runtime: this.#runtime });
  }

  /** {@link Container.start} */
  async start(options: Unbound<ContainerOptions>): Promise<Container> {
    return await Container.start({ ...options, runtime: this.#runtime });
  }

  /** {@link Container.getOrCreate} */
  async getOrCreate(options: Unbound<ContainerOptions> & { name: string }): Promise<Container> {
    return await Container.getOrCreate({ ...options, runtime: this.#runtime });
  }

  /** {@link Container.get} */
  async get(idOrName: string, options?: Unbound<Call>): Promise<Container> {
    return await Container.get(idOrName, { ...options, runtime: this.#runtime });
  }

  /** {@link Container.list} */
  async list(options?: Unbound<Call> & { all?: boolean; filter?: Filter }): Promise<Container[]> {
    return await Container.list({ ...options, runtime: this.#runtime });
  }

  /** Removes those of this Runtime that were never started or have ended; returns their ids. */
  async prune(options?: Unbound<Call> & { filter?: Filter }): Promise<string[]> {
    const removed: string[] = [];
    for (const container of await this.list({ ...options, all: true })) {
      const { state, runtimeId, id } = await container.inspect();
      const idle = state === 'created' || state === 'exited';
      if (!idle || runtimeId !== this.#runtime.id) continue;
      await container.remove();
      removed.push(id);
    }
    return removed;
  }
}

registerStore('containers', (runtime) => new ContainerStore(runtime));
