import { notYet } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { Image } from '../image/image.js';
import type { Call } from '../runtime/call.js';
import { partsOf } from '../runtime/runtime.js';
import { attachTo } from './attach.js';
import type { ExecResult } from './collect.js';
import { createAndStart, createContainer } from './create.js';
import { execIn } from './exec.js';
import type { ExitInfo } from './exit-info.js';
import {
  findContainer,
  findIn,
  isNotFound,
  listContainers,
  parseCall,
  type Found,
} from './find.js';
import { inspectForeign, inspectOwn, type ContainerInfo } from './inspect.js';
import type { Filter } from './later-options.js';
import { LaterVerbs } from './later-verbs.js';
import type {
  ContainerOptions,
  Encoding,
  ExecOptions,
  RemoveOptions,
  RunOptions,
  SpawnOptions,
  StopOptions,
  WaitOptions,
} from './options.js';
import type { Process } from './process.js';
import { shellLine } from './quote.js';
import { parseRemove, removeContainer } from './remove.js';
import { parseContainer } from './request.js';
import { restartContainer } from './restart.js';
import { runContainer } from './run.js';
import { spawnIn } from './spawn.js';
import { startContainer } from './start.js';
import { killContainer, parseStop, stopContainer, stopGently } from './stop.js';
import type { ContainerEvent, ContainerEventName, Supervised } from './supervise.js';
import type { StageTimings } from './timings.js';
import { waitFor } from './wait.js';

/**
 * A handle to a container. Several may mean the same one; those that `create` and `start` gave own it:
 * disposing such a handle stops and removes the container, disposing another one releases it.
 */
export class Container extends LaterVerbs implements AsyncDisposable {
  readonly #found: Found;
  readonly #owned: boolean;
  #references = 0;

  /** @internal Use the static methods. */
  constructor(found: Found, owned: boolean) {
    super();
    this.#found = found;
    this.#owned = owned;
  }

  /**
   * Runs one command in a container of its own, collects what it prints, and takes the container away.
   * Resolves on any exit, unless `check` is set; a timeout resolves as well, with the output so far.
   *
   * @param argv - After the image's Entrypoint. Default: the image's Cmd.
   */
  static async run<E extends Encoding = 'utf8'>(
    image: string | Image,
    argv?: string[],
    options?: RunOptions<E>,
  ): Promise<ExecResult<E>> {
    return await runContainer(image, argv, options);
  }

  /** Makes a container and starts nothing: only its records exist. */
  static async create(options: ContainerOptions): Promise<Container> {
    return owning(await createContainer(options));
  }

  /** Makes and starts one. When the start fails or is aborted, no container is left. */
  static async start(options: ContainerOptions): Promise<Container> {
    return owning(await createAndStart(options));
  }

  /** The container of that name, or a new one (not started). Locked across processes. */
  static async getOrCreate(options: ContainerOptions & { name: string }): Promise<Container> {
    const { name, runtime, signal } = parseContainer(options);
    if (name === undefined) throw nameNeeded();
    const parts = await partsOf(runtime, 'get or create a container');
    const work = parts.store.locks.hold(
      'get-or-create',
      'exclusive',
      async () => {
        try {
          return new Container(await findIn(parts, name), false);
        } catch (error) {
          if (!isNotFound(error)) throw error;
          return await Container.create(options);
        }
      },
      signal,
    );
    return await parts.supervisor.keepAlive(work);
  }

  /**
   * By id, name, or the beginning of an id.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_AMBIGUOUS`
   */
  static async get(idOrName: string, options?: Call): Promise<Container> {
    return new Container(await findContainer(idOrName, options), false);
  }

  /** Those that run; with `all` the others too. Oldest first. */
  static async list(options?: Call & { all?: boolean; filter?: Filter }): Promise<Container[]> {
    return (await listContainers(options)).map((found) => new Container(found, false));
  }

  get id(): string {
    return this.#found.kind === 'own' ? this.#found.core.id : this.#found.record.config.id;
  }

  get name(): string {
    return this.#found.kind === 'own' ? this.#found.core.name : this.#found.record.config.name;
  }

  /** Whether disposing this handle ends the container. */
  get owned(): boolean {
    return this.#owned;
  }

  get timings(): StageTimings {
    return this.#found.kind === 'own' ? this.#found.core.timings : {};
  }

  on(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.on(event, listener);
    return this;
  }

  once(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.once(event, listener);
    return this;
  }

  off(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.off(event, listener);
    return this;
  }

  /** All that is known about it, with the OCI config it is started with. */
  async inspect(): Promise<ContainerInfo> {
    const found = this.#found;
    if (found.kind === 'own') return inspectOwn(found.core);
    return await inspectForeign(found.parts, found.record);
  }

  /** @throws {@link CaissonError} `ERR_CONTAINER_RUNNING`; the errors of a launch, see docs/errors.md */
  async start(options?: Call): Promise<void> {
    await startContainer(this.#own('start'), parseCall(options));
  }

  /**
   * Asks pid 1 to end, then kills the whole container if it has not ended in time. Calls made while
   * one is in progress share its outcome; a container that has ended resolves with how it did.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`
   */
  async stop(options?: StopOptions): Promise<ExitInfo> {
    return await stopContainer(this.#own('stop'), parseStop(options));
  }

  /** Sends a signal to pid 1; `'SIGKILL'`, the default, kills the whole container. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await killContainer(this.#own('kill'), signal);
  }

  /** `stop` and `start`; one that has ended is just started. */
  async restart(): Promise<void> {
    await restartContainer(this.#own('restart'));
  }

  /** Waits for its end, now or next; or for another state. An abort gives up waiting, no more. */
  wait(options?: WaitOptions & { until?: 'exit' }): Promise<ExitInfo>;
  wait(options: WaitOptions): Promise<ExitInfo | undefined>;
  async wait(options?: WaitOptions): Promise<ExitInfo | undefined> {
    return await waitFor(this.#own('wait for'), options);
  }

  /** Runs a command in it and collects what it prints. Resolves on any exit, unless `check` is set. */
  async exec<E extends Encoding = 'utf8'>(
    argv: string[],
    options?: ExecOptions<E>,
  ): Promise<ExecResult<E>> {
    return await execIn(this.#own('exec in'), argv, options);
  }

  /** `exec` of a line for `sh -c`: each value is quoted as one word, an array as several. */
  async sh(text: TemplateStringsArray, ...values: unknown[]): Promise<ExecResult> {
    return await this.exec(['sh', '-c', shellLine(text, values)]);
  }

  /** Starts a command in it, with its streams. */
  async spawn(argv: string[], options?: SpawnOptions): Promise<Process> {
    return await spawnIn(this.#own('spawn in'), argv, options);
  }

  /** Joins pid 1: its output from now on. Disposing what comes back lets go of it. */
  async attach(): Promise<Process> {
    return await attachTo(this.#own('attach to'));
  }

  /** Those that `spawn` started and that still run. */
  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject
  async processes(): Promise<Process[]> {
    return [...this.#own('list processes of').processes.values()];
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject
  async getProcess(id: string): Promise<Process> {
    const process = this.#own('get a process of').processes.get(id);
    if (process === undefined) throw new CaissonError('ERR_PROCESS_NOT_FOUND', { process: id });
    return process;
  }

  /** Takes it away with all it wrote. Removing twice is silent. */
  async remove(options?: RemoveOptions): Promise<void> {
    await removeContainer(this.#own('remove'), parseRemove(options));
  }

  /** Keeps the program alive until `unref`; handles do not by themselves. */
  ref(): this {
    this.#references += 1;
    if (this.#references === 1) this.#own('ref').parts.supervisor.ref();
    return this;
  }

  unref(): this {
    if (this.#references === 1) this.#own('unref').parts.supervisor.unref();
    if (this.#references > 0) this.#references -= 1;
    return this;
  }

  /** Owned: stops and removes it. Borrowed: lets go of the handle. Twice is silent. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#references > 0) this.unref();
    const found = this.#found;
    if (!this.#owned || found.kind !== 'own' || found.core.state.status === 'removed') return;
    await stopGently(found.core);
    await removeContainer(found.core, { force: true });
  }

  #own(action: string): Supervised {
    if (this.#found.kind === 'own') return this.#found.core;
    throw notYet(`to ${action} a container that another Runtime runs`);
  }
}

const owning = (core: Supervised): Container => new Container({ kind: 'own', core }, true);

const nameNeeded = (): CaissonError =>
  new CaissonError('ERR_INVALID_ARGUMENT', { option: 'name', reason: 'getOrCreate needs one' });
