import type { Tag } from './protocol.js';

const FIELD_HEADER_BYTES = 8;

/**
 * Writes the fields of a message body (addon/base/fields.h): u16 tag, u16 zero, u32 bytes, payload,
 * zero padding to a multiple of eight; little-endian. Grows as needed.
 */
export class FieldWriter {
  #buffer: Buffer;
  #used = 0;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.alloc(initialBytes);
  }

  u64(tag: Tag, value: number | bigint): this {
    const at = this.#field(tag, 8);
    if (typeof value === 'number' && value >= 0 && value <= 0xffffffff) {
      this.#buffer.writeUInt32LE(value, at);
    } else {
      this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at);
    }
    return this;
  }

  string(tag: Tag, value: string): this {
    const bytes = Buffer.byteLength(value);
    // First: it may exchange the buffer for a larger one.
    const at = this.#field(tag, bytes);
    this.#buffer.write(value, at, 'utf8');
    return this;
  }

  strings(tag: Tag, values: Iterable<string>): this {
    for (const value of values) this.string(tag, value);
    return this;
  }

  blob(tag: Tag, value: Uint8Array): this {
    const at = this.#field(tag, value.byteLength);
    this.#buffer.set(value, at);
    return this;
  }

  group(tag: Tag, write: (fields: FieldWriter) => void): this {
    const start = this.#field(tag, 0);
    write(this);
    this.#buffer.writeUInt32LE(this.#used - start, start - 4);
    return this;
  }

  /** Fields encoded before, by another writer. */
  append(fields: Uint8Array): this {
    this.#reserve(fields.byteLength);
    this.#buffer.set(fields, this.#used);
    this.#used += fields.byteLength;
    return this;
  }

  /** A view of what was written; valid until the writer is used again. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used);
  }

  #field(tag: Tag, bytes: number): number {
    const padded = (bytes + 7) & ~7;
    this.#reserve(FIELD_HEADER_BYTES + padded);
    this.#buffer.writeUInt32LE(tag, this.#used);
    this.#buffer.writeUInt32LE(bytes, this.#used + 4);
    const at = this.#used + FIELD_HEADER_BYTES;
    this.#used = at + padded;
    return at;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#used + bytes));
    this.#buffer.copy(grown, 0, 0, this.#used);
    this.#buffer = grown;
  }
}

/** The fields of a message from the supervisor; the last one wins for `u64` and `string`. */
export class FieldReader {
  readonly #fields = new Map<number, Buffer[]>();

  constructor(body: Uint8Array) {
    const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    let at = 0;
    while (at < buffer.length) {
      const tag = buffer.readUInt16LE(at);
      const bytes = buffer.readUInt32LE(at + 4);
      const payload = buffer.subarray(at + FIELD_HEADER_BYTES, at + FIELD_HEADER_BYTES + bytes);
      const list = this.#fields.get(tag);
      if (list === undefined) this.#fields.set(tag, [payload]);
      else list.push(payload);
      at += FIELD_HEADER_BYTES + ((bytes + 7) & ~7);
    }
  }

  has(tag: Tag): boolean {
    return this.#fields.has(tag);
  }

  u64(tag: Tag): bigint | undefined {
    return this.#fields.get(tag)?.at(-1)?.readBigUInt64LE(0);
  }

  /** As a number: for values known to fit 53 bits. */
  number(tag: Tag): number | undefined {
    const value = this.u64(tag);
    return value === undefined ? undefined : Number(value);
  }

  numbers(tag: Tag): number[] {
    return (this.#fields.get(tag) ?? []).map((payload) => Number(payload.readBigUInt64LE(0)));
  }

  string(tag: Tag): string | undefined {
    return this.#fields.get(tag)?.at(-1)?.toString('utf8');
  }
}
