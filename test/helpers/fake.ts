import { createRequire } from 'node:module';
import { Tag, Type } from '../../lib/native/protocol.js';
import type { Binding, Channel } from '../../lib/native/types.js';
import { FieldReader, FieldWriter } from '../../lib/native/wire.js';
import { nativeFile } from './native.js';

/** The addon as it is built, without the loader. */
export function loadBinding(): Binding {
  return createRequire(import.meta.url)(nativeFile('caisson.node')!) as Binding;
}

export const NOTHING = new Uint8Array(0);

export interface Answer {
  readonly type: number;
  readonly id: number;
  readonly body: Buffer;
  readonly fields: FieldReader;
  readonly fds: readonly number[];
}

export interface Collected {
  readonly type: number;
  readonly fields: FieldReader;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly truncated: boolean;
}

/** A channel to the fake supervisor (fake-supervisor.cc says what it does), with promises. */
export class Fake implements AsyncDisposable {
  readonly channel: Channel;
  readonly closed: Promise<{ exitCode: number | null; signal: number | null }>;
  readonly stray: Answer[] = [];
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly binding = loadBinding();
  #lastId = 0;

  constructor() {
    let close!: (status: { exitCode: number | null; signal: number | null }) => void;
    this.closed = new Promise((resolve) => (close = resolve));
    this.channel = new this.binding.Channel({
      supervisor: nativeFile('caisson-fake-supervisor')!,
      args: ['supervise', '--word', 'zwölf'],
      onMessage: (type, id, body, fds) => {
        const answer = {
          type,
          id,
          body: body as Buffer,
          // Read when asked for: an echoed body is any bytes.
          get fields() {
            return new FieldReader(body);
          },
          fds,
        };
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (waiting === undefined) this.stray.push(answer);
        else waiting(answer);
      },
      onClose: (status) => {
        close(status);
      },
    });
    this.channel.ref();
  }

  nextId(): number {
    return ++this.#lastId;
  }

  answerTo(id: number): Promise<Answer> {
    return this.lookAt(id, (answer) => answer);
  }

  /** What `look` finds while the answer's descriptors are open. */
  lookAt<T>(id: number, look: (answer: Answer) => T): Promise<T> {
    return new Promise((resolve, reject) =>
      this.#waiting.set(id, (answer) => {
        try {
          resolve(look(answer));
        } catch (error) {
          reject(new Error('while its descriptors were open', { cause: error }));
        }
      }),
    );
  }

  ask(
    type: number,
    body: Uint8Array = NOTHING,
    fds: readonly number[] = [],
    closeFds: readonly number[] = [],
  ): Promise<Answer> {
    const id = this.nextId();
    const answer = this.answerTo(id);
    this.channel.send(type, id, body, fds, closeFds);
    return answer;
  }

  collect(
    argv: readonly string[],
    input: Uint8Array | number | null = null,
    maxOutputBytes = 1 << 20,
    id = this.nextId(),
  ): Promise<Collected> {
    return new Promise((resolve) => {
      const body = new FieldWriter().strings(Tag.arg, argv).bytes();
      this.channel.collect(Type.launch, id, body, input, maxOutputBytes, (...answer) => {
        const [type, bytes, stdout, stderr, truncated] = answer;
        const fields = new FieldReader(bytes);
        resolve({ type, fields, stdout: stdout as Buffer, stderr: stderr as Buffer, truncated });
      });
    });
  }

  sh(text: string, input: Uint8Array | number | null = null, max?: number): Promise<Collected> {
    return this.collect(['sh', '-c', text], input, max);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.close();
    await this.closed;
  }
}
