import type { Readable } from 'node:stream';
import { notYet } from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import { Image } from '../image/image.js';
import type { Call } from '../runtime/call.js';
import { partsOf } from '../runtime/runtime.js';
import { attachTo } from './attach.js';
import { changesOf, type FsChange } from './changes.js';
import type { ExecResult } from './collect.js';
import { commitContainer, type CommitOptions } from './commit.js';
import { createAndStart, createContainer } from './create.js';
import { execIn } from './exec.js';
import type { ExitInfo } from './exit-info.js';
import { exportContainer } from './export.js';
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
import { pauseContainer, resumeContainer } from './pause.js';
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
 *
 * Of a container that another Runtime on the same store runs, `id`, `name`, `owned`, `timings`, `inspect`
 * and disposing work; every other member is `ERR_UNSUPPORTED`. After `remove` whatever needs the container is
 * `ERR_CONTAINER_REMOVED`; `inspect` and `remove` still work.
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
   * Resolves when pid 1 is dead and both outputs have ended, on any exit, unless `check` is set; a timeout
   * resolves as well, with the output so far. The removal goes on behind it, and `Runtime.close()` awaits it.
   *
   * @param image - An Image, or the name or id of one in the store.
   * @param argv - After the image's Entrypoint. Default: the image's Cmd.
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`, `ERR_UNSUPPORTED`, `ERR_IMAGE_NOT_FOUND`; the errors of {@link Image.pull}, of
   * opening a Runtime and of starting a process, see docs/errors.md
   * @throws {@link ExecError} with `check`, on any end but exit code 0
   * @throws {@link AbortError} with the output so far as `result`
   */
  static async run<E extends Encoding = 'utf8'>(
    image: string | Image,
    argv?: string[],
    options?: RunOptions<E>,
  ): Promise<ExecResult<E>> {
    return await runContainer(image, argv, options);
  }

  /**
   * Makes a container and starts nothing: only its records exist, no process, cgroup or namespace.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`, `ERR_UNSUPPORTED`, `ERR_IMAGE_NOT_FOUND`; the errors of {@link Image.pull};
   * `ERR_NAME_IN_USE`, `ERR_STORE_FULL`
   */
  static async create(options: ContainerOptions): Promise<Container> {
    return owning(await createContainer(options));
  }

  /**
   * Makes and starts one; resolves when its program runs. When the start fails or is aborted, no container is
   * left.
   *
   * @throws {@link CaissonError} those of {@link Container.create} and {@link Container.start | start()}
   */
  static async start(options: ContainerOptions): Promise<Container> {
    return owning(await createAndStart(options));
  }

  /**
   * The container of that name, as it is and whatever it was made with; or a new one, not started. Locked
   * across processes, so that several callers end with one. `owned` is true when this call made it.
   *
   * @throws {@link CaissonError} those of {@link Container.create}
   */
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

  /** Those that run, of every Runtime on the store; with `all` the others too. Oldest first. */
  static async list(options?: Call & { all?: boolean; filter?: Filter }): Promise<Container[]> {
    return (await listContainers(options)).map((found) => new Container(found, false));
  }

  /** 64 hexadecimal digits. */
  get id(): string {
    return this.#found.kind === 'own' ? this.#found.core.id : this.#found.record.config.id;
  }

  /** As asked for, else the first 12 digits of the id. */
  get name(): string {
    return this.#found.kind === 'own' ? this.#found.core.name : this.#found.record.config.name;
  }

  /** Whether disposing this handle ends the container: it came from `create`, `start`, or a `getOrCreate` that made it. */
  get owned(): boolean {
    return this.#owned;
  }

  /** How long each stage took, so far; empty for a container of another Runtime. */
  get timings(): StageTimings {
    return this.#found.kind === 'own' ? this.#found.core.timings : {};
  }

  /**
   * Calls `listener` at each such event from now on. All handles to a container share its events. What a
   * listener throws becomes an uncaught exception and disturbs nothing else. `'health'` comes with a later
   * version.
   */
  on(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.on(event, listener);
    return this;
  }

  /** As `on`, for the next such event alone. */
  once(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.once(event, listener);
    return this;
  }

  /** Undoes `on` or `once`. */
  off(event: ContainerEventName, listener: (event: ContainerEvent) => void): this {
    this.#own('follow').emitter.off(event, listener);
    return this;
  }

  /** All that is known about it now, as plain data, with the OCI config it is started with. */
  async inspect(): Promise<ContainerInfo> {
    const found = this.#found;
    if (found.kind === 'own') return inspectOwn(found.core);
    return await inspectForeign(found.parts, found.record);
  }

  /**
   * Starts one that was created or has ended; resolves when its program runs. When that fails or is aborted, the
   * container is as it was before. An ended one keeps what it had written.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_RUNNING`, `ERR_CONTAINER_REMOVED`; the errors of starting a process,
   * see docs/errors.md
   */
  async start(options?: Call): Promise<void> {
    const core = this.#own('start');
    await startContainer(core, parseCall(options, core.parts));
  }

  /**
   * Asks pid 1 to end, then kills the whole container if it has not ended in time. A container that has ended
   * resolves with how it did. Calls made while one is in progress share its outcome; one with a shorter grace brings
   * the kill forward, and `kill()` is at once. An abort gives up waiting, and the stop itself goes on.
   *
   * The kernel drops a signal that a pid 1 has no handler for, so that the whole grace passes: `sleep` does not
   * hear SIGTERM there. `{ graceMs: 0 }` kills at once.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`
   */
  async stop(options?: StopOptions): Promise<ExitInfo> {
    return await stopContainer(this.#own('stop'), parseStop(options));
  }

  /**
   * Sends a signal to pid 1; `'SIGKILL'`, the default, kills the whole container. Resolves when it is sent:
   * `wait()` tells the end.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`, `ERR_CONTAINER_NOT_RUNNING`
   */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await killContainer(this.#own('kill'), signal);
  }

  /**
   * `stop`, with its defaults, and `start`; one that has ended is just started.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`, `ERR_CONTAINER_NOT_RUNNING` while it is between two
   * states; the errors of starting a process
   */
  async restart(): Promise<void> {
    await restartContainer(this.#own('restart'));
  }

  /**
   * Holds all of its processes still, execs included; resolves when they are. What is sent to it waits; nothing can
   * be started in it. A timeout goes on, and `stop`, `kill`, `remove` and `close` end it all the same.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`, `ERR_CONTAINER_NOT_RUNNING` (also when it is paused);
   * `ERR_UNSUPPORTED` where there is no cgroup to freeze
   */
  async pause(): Promise<void> {
    await pauseContainer(this.#own('pause'));
  }

  /**
   * Lets a paused one go on.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_PAUSED`, `ERR_CONTAINER_NOT_STARTED`
   */
  async resume(): Promise<void> {
    await resumeContainer(this.#own('resume'));
  }

  /**
   * Waits for its end, now or next, also of one that was never started; or for another state. Resolves with how
   * it ended last, for `'running'` with undefined. An abort gives up waiting, no more.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_REMOVED` when it is removed without having got there
   */
  wait(options?: WaitOptions & { until?: 'exit' }): Promise<ExitInfo>;
  wait(options: WaitOptions): Promise<ExitInfo | undefined>;
  async wait(options?: WaitOptions): Promise<ExitInfo | undefined> {
    return await waitFor(this.#own('wait for'), options);
  }

  /**
   * Runs a command in it and collects what it prints. Resolves on any exit, unless `check` is set, when the
   * command has ended and so have both outputs: what it leaves in the background is waited for as long as it
   * holds one of them open. A timeout and an abort kill all that it has started.
   *
   * @param argv - The command and its arguments; the image's Entrypoint has no part in it.
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`, `ERR_CONTAINER_NOT_RUNNING`; the errors of starting a
   * process
   * @throws {@link ExecError} with `check`, on any end but exit code 0
   * @throws {@link AbortError} with the output so far as `result`
   */
  async exec<E extends Encoding = 'utf8'>(
    argv: string[],
    options?: ExecOptions<E>,
  ): Promise<ExecResult<E>> {
    return await execIn(this.#own('exec in'), argv, options);
  }

  /**
   * `exec` of a line for `sh -c`, without options: each value is quoted as one word, an array as one word an
   * element. The text between them is the shell's, as written.
   *
   * @example
   * ```ts
   * await box.sh`tar -cf ${archive} -- ${files} 2>/dev/null`;
   * ```
   */
  async sh(text: TemplateStringsArray, ...values: unknown[]): Promise<ExecResult> {
    return await this.exec(['sh', '-c', shellLine(text, values)]);
  }

  /**
   * Starts a command in it, with its streams; resolves when it runs. An abort kills all that it has started, also
   * later, and its `exited` then says `'aborted'`.
   *
   * @throws {@link CaissonError} those of {@link Container.exec | exec()}
   */
  async spawn(argv: string[], options?: SpawnOptions): Promise<Process> {
    return await spawnIn(this.#own('spawn in'), argv, options);
  }

  /**
   * Joins pid 1: its output from now on, as its log has it, and its stdin when the container has
   * `stdin: 'pipe'`; or its terminal, which several may share, when it has `tty`. Disposing what comes back lets go of it; the container runs on.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_NOT_STARTED`, `ERR_CONTAINER_NOT_RUNNING`; `ERR_UNSUPPORTED` with
   * `log: { type: 'none' }`
   */
  async attach(): Promise<Process> {
    return await attachTo(this.#own('attach to'));
  }

  /** Those that `spawn` of this program started and that still run. */
  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject
  async processes(): Promise<Process[]> {
    return [...this.#own('list processes of').processes.values()];
  }

  /**
   * One of `processes()`, by its id.
   *
   * @throws {@link CaissonError} `ERR_PROCESS_NOT_FOUND`
   */
  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject
  async getProcess(id: string): Promise<Process> {
    const process = this.#own('get a process of').processes.get(id);
    if (process === undefined) throw new CaissonError('ERR_PROCESS_NOT_FOUND', { process: id });
    return process;
  }

  /**
   * What it has written so far, sorted by path: files and folders that are not as the image has them, by mode, owner and
   * xattrs, and but for folders by size and time of the last write; what was only opened to be written to is as it was. A
   * folder counts as modified when anything in it is; the root never does. What lies in mounts is none of it, nor is what
   * a start makes to mount on; of `Image.host({ writable })` the writable folders are. Of one that runs this is no single
   * moment, unless it is paused.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_REMOVED`, also when it is removed meanwhile
   */
  async changes(options?: Call): Promise<FsChange[]> {
    return await changesOf(this.#own('list the changes of'), options);
  }

  /**
   * Makes an image of it: the layers that it is made from and, where it has written something, one more. Its
   * configuration says how this container is run (command, environment, labels, user, folder), as Docker's does, changed
   * by `config` and `changes`; what a secret in `env` was is in the image. One that runs is paused meanwhile, one that
   * does not is not started. What lies in mounts is no part of it.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`; `ERR_UNSUPPORTED` of `Image.host()`, or to pause where there is
   * no cgroup; `ERR_IMAGE_NOT_FOUND` when its image was removed; `ERR_REQUEST_FAILED` with the path of a file that no
   * layer can hold (a name that begins with `.wh.`); `ERR_STORE_FULL`; `ERR_CONTAINER_REMOVED`, also when it is removed
   * meanwhile
   */
  async commit(options?: CommitOptions): Promise<Image> {
    const core = this.#own('commit');
    const record = await commitContainer(core, options);
    return new Image({ kind: 'stored', parts: core.parts, record });
  }

  /**
   * A tar archive of all its files as it has them now, for `Image.fromRootfs()`, `docker import` and tar; of what is
   * mounted only the place. Nothing begins before it is read, and it goes on as it is read. Of one that runs this is no
   * single moment, unless it is paused.
   *
   * The stream fails with {@link CaissonError} `ERR_CONTAINER_REMOVED`, also when it is removed meanwhile.
   *
   * @example
   * ```ts
   * await pipeline(container.export(), createWriteStream('root.tar'));
   * ```
   */
  export(options?: Call): Readable {
    return exportContainer(() => this.#own('export'), options);
  }

  /**
   * Takes it away with all it wrote. Removing twice is silent, and calls share one outcome; one that failed can be
   * tried again.
   *
   * @throws {@link CaissonError} `ERR_CONTAINER_RUNNING` without `force`; `ERR_REQUEST_FAILED`
   */
  async remove(options?: RemoveOptions): Promise<void> {
    await removeContainer(this.#own('remove'), parseRemove(options));
  }

  /** Keeps the program alive until `unref`; handles do not by themselves, pending promises do. Calls count. */
  ref(): this {
    const { supervisor } = this.#own('ref');
    this.#references += 1;
    if (this.#references === 1) supervisor.ref();
    return this;
  }

  /** Undoes one `ref`. */
  unref(): this {
    if (this.#references === 1) this.#own('unref').supervisor.unref();
    if (this.#references > 0) this.#references -= 1;
    return this;
  }

  /**
   * Owned: stops and removes it, at once when pid 1 has no handler for the stop signal. Borrowed: lets go of the
   * handle. Twice is silent.
   */
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
