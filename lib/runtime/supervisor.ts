import { CaissonError, throwIfAborted } from '../errors/index.js';
import { failureToError, readFailed, type FailureContext } from '../native/failure.js';
import { Tag, Type } from '../native/protocol.js';
import { signalName } from '../native/signals.js';
import type { Binding, Channel } from '../native/types.js';
import { FieldReader, FieldWriter } from '../native/wire.js';
import { checkVersion, helloBody, orStartError, readWelcome } from './hand-shake.js';
import { lostExit, readExit } from './raw-exit.js';
import type {
  Collected,
  LaunchEvents,
  SupervisorFacts,
  SupervisorOptions,
} from './supervisor-types.js';

interface Entry {
  /** Any message of this id; `body` is null when the channel has closed. `fds` are lent. */
  message(type: number, body: Uint8Array | null, fds: readonly number[]): void;
}

/** Nothing is sent before Hello. */
const HELLO_ID = 1;

interface Answer {
  readonly type: number;
  readonly fields: FieldReader;
}

/**
 * The program's side of the channel: gives out ids, brings each answer to who waits for it, and
 * ends every wait when the supervisor is gone. One per Runtime.
 */
export class Supervisor {
  readonly #binding: Binding;
  readonly #channel: Channel;
  readonly #entries = new Map<number, Entry>();
  readonly #collecting = new Set<number>();
  readonly #gone: Promise<void>;
  #markGone!: () => void;
  #lastId = 0;
  #lost: CaissonError<'ERR_SUPERVISOR_LOST'> | undefined;
  #closing: Promise<void> | undefined;
  facts!: SupervisorFacts;

  constructor(options: SupervisorOptions) {
    this.#binding = options.binding;
    this.#gone = new Promise((resolve) => (this.#markGone = resolve));
    this.#channel = new options.binding.Channel({
      supervisor: options.executable,
      args: options.args,
      onMessage: (type, id, body, fds) => this.#receive(type, id, body, fds),
      onClose: ({ exitCode, signal }) => this.#end(exitCode, signal),
    });
  }

  /** Resolves when it has ended, however it did. */
  get gone(): Promise<void> {
    return this.#gone;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Starts one and shakes hands. */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    throwIfAborted(options.signal);
    checkVersion(options.binding.protocolVersion);
    const supervisor = orStartError(options, () => new Supervisor(options));
    const stop = (): void => supervisor.#channel.close();
    options.signal?.addEventListener('abort', stop, { once: true });
    try {
      const answer = await supervisor.keepAlive(supervisor.#ask(Type.hello, helloBody()).answered);
      supervisor.facts = readWelcome(answer, supervisor.#channel.pid);
      throwIfAborted(options.signal);
      return supervisor;
    } catch (error) {
      supervisor.#channel.close();
      throwIfAborted(options.signal);
      throw error;
    } finally {
      options.signal?.removeEventListener('abort', stop);
    }
  }

  /**
   * Sends a request that is answered by Done, and returns what Done says. `signal` ends the work of one
   * that can be killed (an import); the answer is still awaited, so that nothing goes on behind it.
   */
  async request(
    type: Type,
    body: Uint8Array,
    context: FailureContext,
    signal?: AbortSignal,
    /** Closed here once they are on their way. */
    fds: readonly number[] = [],
  ): Promise<FieldReader> {
    try {
      throwIfAborted(signal);
    } catch (error) {
      for (const fd of fds) this.#binding.closeFd(fd);
      throw error;
    }
    const { id, answered } = this.#ask(type, body, fds);
    const kill = (): void => this.killSoon(id);
    signal?.addEventListener('abort', kill, { once: true });
    const answer = await this.keepAlive(answered).finally(() => {
      signal?.removeEventListener('abort', kill);
    });
    if (answer.type === Type.failed) throwIfAborted(signal);
    if (answer.type === Type.failed) throw failureToError(readFailed(answer.fields), context);
    return answer.fields;
  }

  /**
   * Sends a Launch or an Exec whose streams are the caller's own. `fds` are closed here once they
   * are on their way. Returns the id, which is what `signal`, `kill` and an Exec name it by.
   */
  launch(
    type: typeof Type.launch | typeof Type.exec,
    body: Uint8Array,
    fds: readonly number[],
    context: FailureContext,
    events: LaunchEvents,
  ): number {
    const id = this.#nextId();
    let started = false;
    this.#entries.set(id, {
      message: (answer, bytes, [pidfd, terminal]) => {
        if (answer === Type.started) {
          started = true;
          events.started?.(pidfd === undefined ? -1 : this.#binding.pidOf(pidfd), terminal);
          return;
        }
        if (answer === Type.oomKilled) {
          events.oomKilled?.();
          return;
        }
        this.#entries.delete(id);
        if (bytes === null) {
          if (started) events.exited(lostExit());
          else events.failed(this.#lostError());
        } else if (answer === Type.exited) {
          events.exited(readExit(new FieldReader(bytes)));
        } else {
          events.failed(failureToError(readFailed(new FieldReader(bytes)), context));
        }
      },
    });
    this.#send(type, id, body, fds);
    return id;
  }

  /**
   * Sends a Launch or an Exec whose output is collected natively. The result rejects when it could
   * not be started, or when the supervisor is lost before the end.
   */
  collect(
    type: typeof Type.launch | typeof Type.exec,
    body: Uint8Array,
    input: Uint8Array | number | null,
    maxOutputBytes: number,
    context: FailureContext,
  ): { readonly id: number; readonly result: Promise<Collected> } {
    const id = this.#nextId();
    const result = new Promise<Collected>((resolve, reject) => {
      if (this.#lost !== undefined) throw this.#lost;
      this.#collecting.add(id);
      this.#channel.collect(
        type,
        id,
        body,
        input,
        maxOutputBytes,
        (answer, bytes, stdout, stderr, truncated) => {
          this.#collecting.delete(id);
          if (answer === Type.exited) {
            resolve({ exit: readExit(new FieldReader(bytes)), stdout, stderr, truncated });
          } else if (answer === Type.failed) {
            reject(failureToError(readFailed(new FieldReader(bytes)), context));
          } else {
            reject(this.#lostError());
          }
        },
      );
    });
    return { id, result: this.keepAlive(result) };
  }

  /** A POSIX signal to the first process of a Launch or an Exec. */
  async sendSignal(target: number, signal: number, context: FailureContext): Promise<void> {
    const body = new FieldWriter(64).u64(Tag.target, target).u64(Tag.signal, signal).bytes();
    await this.request(Type.signal, body, context);
  }

  /** SIGKILL to the whole tree of a Launch or an Exec; its Exited follows. */
  async kill(target: number, context: FailureContext): Promise<void> {
    const body = new FieldWriter(64).u64(Tag.target, target).bytes();
    await this.request(Type.kill, body, context);
  }

  /** Fire and forget: for an abort, whose end is awaited by the result itself. */
  killSoon(target: number): void {
    this.kill(target, { action: 'kill' }).catch(() => undefined); // it has ended meanwhile
  }

  /** Keeps the program alive until `unref`. They count. */
  ref(): void {
    this.#channel.ref();
  }

  unref(): void {
    this.#channel.unref();
  }

  /** Keeps the program alive until `promise` settles. */
  keepAlive<T>(promise: Promise<T>): Promise<T> {
    if (this.#lost !== undefined) return promise;
    this.#channel.ref();
    const unref = (): void => this.#channel.unref();
    promise.then(unref, unref);
    return promise;
  }

  /** Kills and undoes everything, then ends the supervisor. Calls share one outcome. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      if (this.#lost !== undefined) return;
      this.#channel.ref();
      try {
        // Done is followed by the end of the channel; without it the end is all there is.
        await this.#ask(Type.close, new Uint8Array(0)).answered.catch(() => undefined);
        this.#channel.close();
        await this.#gone;
      } finally {
        this.#channel.unref();
      }
    })();
    return this.#closing;
  }

  #ask(
    type: Type,
    body: Uint8Array,
    fds: readonly number[] = [],
  ): { readonly id: number; readonly answered: Promise<Answer> } {
    const id = this.#nextId();
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#entries.set(id, {
        message: (answer, bytes) => {
          this.#entries.delete(id);
          if (bytes === null) reject(this.#lostError());
          else resolve({ type: answer, fields: new FieldReader(bytes) });
        },
      });
    });
    this.#send(type, id, body, fds);
    return { id, answered };
  }

  #send(type: Type, id: number, body: Uint8Array, fds: readonly number[]): void {
    if (this.#lost !== undefined) {
      for (const fd of fds) this.#binding.closeFd(fd);
      queueMicrotask(() => this.#entries.get(id)?.message(0, null, []));
      return;
    }
    this.#channel.send(type, id, body, fds, fds);
  }

  #receive(type: number, id: number, body: Uint8Array, fds: readonly number[]): void {
    // Why it could not start is said before Hello is read: with no id, and it answers that one.
    this.#entries.get(id === 0 ? HELLO_ID : id)?.message(type, body, fds);
  }

  #end(exitCode: number | null, signal: number | null): void {
    const name = signal === null || signal === 0 ? null : signalName(signal);
    this.#lost = new CaissonError('ERR_SUPERVISOR_LOST', { exitCode, signal: name });
    this.#markGone();
    for (const entry of [...this.#entries.values()]) entry.message(0, null, []);
  }

  #lostError(): CaissonError {
    return this.#lost ?? new CaissonError('ERR_SUPERVISOR_LOST', { exitCode: null, signal: null });
  }

  /** Unique among what is in flight: 32 bits come round. */
  #nextId(): number {
    do {
      this.#lastId = this.#lastId >= 0xffff_ffff ? 1 : this.#lastId + 1;
    } while (this.#entries.has(this.#lastId) || this.#collecting.has(this.#lastId));
    return this.#lastId;
  }
}
