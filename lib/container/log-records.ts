/** One piece of output as the supervisor writes it to a log file. */
export interface LogRecord {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
}

/**
 *     u32 bytes · u8 stream · u8 flags · u16 0 · u64 time_ns · bytes
 *
 * little-endian, one after another, never split over two files.
 */
const HEADER_BYTES = 16;
const STDERR = 2;
/** `flags` of output; any other record is the log's own note: how many bytes were dropped. */
const OUTPUT = 0;

/** Takes the bytes of a log file in pieces of any size and gives back whole records. */
export class LogParser {
  #rest: Buffer = Buffer.alloc(0);

  push(bytes: Buffer): LogRecord[] {
    const buffer = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const records: LogRecord[] = [];
    let at = 0;
    while (buffer.length - at >= HEADER_BYTES) {
      const size = buffer.readUInt32LE(at);
      const end = at + HEADER_BYTES + size;
      if (end > buffer.length) break;
      const stream = buffer[at + 4] === STDERR ? 'stderr' : 'stdout';
      if (buffer[at + 5] === OUTPUT) {
        records.push({ stream, data: buffer.subarray(at + HEADER_BYTES, end) });
      }
      at = end;
    }
    // A copy: what is kept must not hold the whole read, nor change under it.
    this.#rest = Buffer.from(buffer.subarray(at));
    return records;
  }

  /** Another file begins: half a record at the end of the last one will never be completed. */
  reset(): void {
    this.#rest = Buffer.alloc(0);
  }
}
