import { EventEmitter } from 'eventemitter3';
import type { ContainerStore } from '../container/container-store.js';
import type { HostReport } from '../host/check.js';
import { checkMachine } from './check.js';
import { invalid, kindOf, notYet } from '../errors/arguments.js';
import type { ImageStore } from '../image/image-store.js';
import type { NetworkStore } from '../network/network-store.js';
import type { VolumeStore } from '../volume/volume-store.js';
import { eventStream } from './event-stream.js';
import { openParts, type OpenedParts } from './open.js';
import type { CloseOptions, DiskUsage, EventsOptions, RuntimeOptions } from './options.js';
import type { Mode, RuntimeEvent, RuntimeEventName, RuntimeParts } from './parts.js';
import { makeStore } from './registry.js';
import { parseCheck, parseClose, parseEvents, parseOpen } from './request.js';

type EventMap = Record<RuntimeEventName, (event: RuntimeEvent) => void>;

/** Reaches the parts of a Runtime without publishing them. */
let readParts: (runtime: Runtime) => OpenedParts;

/**
 * A store and a supervisor of one's own. Several may be open in one program, on one store or on
 * several; all that was started with it ends with it.
 */
export class Runtime implements AsyncDisposable {
  readonly #parts: OpenedParts;
  readonly #emitter: EventEmitter<EventMap & { any: (event: RuntimeEvent) => void }>;
  #closing: Promise<void> | undefined;
  /** The statics of {@link Image}, bound to this Runtime. */
  readonly images: ImageStore;
  /** The statics of {@link Container}, bound to this Runtime. */
  readonly containers: ContainerStore;
  /** Not in this version. */
  readonly networks: NetworkStore;
  /** Not in this version. */
  readonly volumes: VolumeStore;

  /** @internal Use {@link Runtime.open}. */
  constructor(parts: OpenedParts) {
    this.#parts = parts;
    this.#emitter = new EventEmitter();
    parts.onEvent((event) => {
      this.#emitter.emit('any', event);
      try {
        this.#emitter.emit(event.type, event);
      } catch (error) {
        // A listener that throws is its program's affair, and not that of the call that told it.
        process.nextTick(() => {
          throw error;
        });
      }
    });
    this.images = makeStore('images', this);
    this.containers = makeStore('containers', this);
    this.networks = makeStore('networks', this);
    this.volumes = makeStore('volumes', this);
  }

  static {
    readParts = (runtime) => runtime.#parts;
  }

  /**
   * Opens the store and starts the supervisor, a small process that ends with this program. What dead
   * Runtimes left in store and run folder is cleaned up on the way, and behind it.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`, `ERR_UNSUPPORTED`; `ERR_NATIVE_MISSING`;
   * `ERR_STORE_MODE`, `ERR_STORE_UNUSABLE`, `ERR_STORE_FULL`; `ERR_SUPERVISOR_START` with the step that failed: what
   * the machine lacks is said by {@link Runtime.check}; `ERR_PROTOCOL_MISMATCH`
   */
  static async open(options?: RuntimeOptions): Promise<Runtime> {
    return new Runtime(await openParts(parseOpen(options)));
  }

  /**
   * What this machine can do and lacks, one item a feature, each with its fix: tried, not guessed, with the default
   * store and run folder, in processes that leave nothing behind. docs/host.md has each item. Never rejects, but for
   * options it does not know.
   *
   * @param options - `mode`: whose containers. Default: by the user who asks.
   */
  static async check(options?: { mode?: Mode }): Promise<HostReport> {
    return await checkMachine(parseCheck(options));
  }

  /** Sixteen hexadecimal digits, new for each Runtime. */
  get id(): string {
    return this.#parts.id;
  }

  /**
   * What happens to images and containers of this Runtime, from this call on. Ends after `close`, and when the
   * iteration is left. Of events that nobody has taken yet the newest 1024 are kept, also of what is never iterated:
   * that listens until it is garbage. Waiting for one does not keep the program alive.
   *
   * @throws {@link CaissonError} at once: `ERR_INVALID_ARGUMENT`, `ERR_UNSUPPORTED`, `ERR_RUNTIME_CLOSED`
   */
  events(options?: EventsOptions): AsyncIterable<RuntimeEvent> {
    this.#parts.assertOpen('follow events');
    return eventStream(parseEvents(options), (listener) => {
      this.#emitter.on('any', listener);
      return () => this.#emitter.off('any', listener);
    });
  }

  /** Calls `listener` at each such event from now on. What it throws becomes an uncaught exception. */
  on(event: RuntimeEventName, listener: (event: RuntimeEvent) => void): this {
    this.#emitter.on(event, listener);
    return this;
  }

  /** As `on`, for the next such event alone. */
  once(event: RuntimeEventName, listener: (event: RuntimeEvent) => void): this {
    this.#emitter.once(event, listener);
    return this;
  }

  /** Undoes `on` or `once`. */
  off(event: RuntimeEventName, listener: (event: RuntimeEvent) => void): this {
    this.#emitter.off(event, listener);
    return this;
  }

  /** Not in this version: rejects with `ERR_UNSUPPORTED`. */
  listen(_address: string | { port: number; host?: string }): Promise<AsyncDisposable> {
    return Promise.reject(notYet('Runtime.listen()'));
  }

  /**
   * What its store takes on the disk: images, in this version.
   *
   * @throws {@link CaissonError} `ERR_RUNTIME_CLOSED`
   */
  async diskUsage(): Promise<DiskUsage> {
    return { images: await this.images.diskUsage() };
  }

  /**
   * Kills and removes what was started with it, then ends the supervisor; resolves when all is undone. Calls share
   * one outcome. Runs and execs that go on resolve, as killed by SIGKILL; new calls are `ERR_RUNTIME_CLOSED`.
   *
   * @throws {@link CaissonError} `ERR_REQUEST_FAILED` when a container could not be removed: the rest is undone all
   * the same
   */
  async close(options?: CloseOptions): Promise<void> {
    parseClose(options);
    this.#closing ??= this.#parts.close();
    await this.#closing;
  }

  /** `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** The parts behind a `runtime` option, or those of the default Runtime. */
export function partsOf(runtime: unknown, action: string): RuntimeParts | Promise<RuntimeParts> {
  if (runtime === undefined) return defaultParts();
  const parts = readParts(checkRuntime(runtime));
  parts.assertOpen(action);
  return parts;
}

/** Of a call on what a Runtime has made already: its `runtime` may only be that one. */
export function checkOwnRuntime(runtime: unknown, own: RuntimeParts): void {
  if (runtime === undefined) return;
  if (readParts(checkRuntime(runtime)) !== own) {
    throw invalid('runtime', "must be the container's own, or absent");
  }
}

function checkRuntime(value: unknown): Runtime {
  if (value instanceof Runtime) return value;
  throw invalid('runtime', `must be a Runtime, not ${kindOf(value)}`);
}

let defaultRuntime: Promise<Runtime> | undefined;
let defaultOpened: OpenedParts | undefined;

/** Opened on first use, and again when it was lost: its user cannot do that. */
function defaultParts(): RuntimeParts | Promise<RuntimeParts> {
  if (defaultOpened?.isUsable() === true) return defaultOpened;
  if (defaultOpened !== undefined) {
    defaultOpened = undefined;
    defaultRuntime = undefined;
  }
  defaultRuntime ??= Runtime.open();
  return defaultRuntime.then(
    (runtime) => (defaultOpened = readParts(runtime)),
    (error: unknown) => {
      defaultRuntime = undefined;
      throw error;
    },
  );
}
