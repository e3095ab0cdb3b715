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

/** The whole records that `bytes`, the beginning of one first, hold; and where the one after them begins. */
export function takeRecords(bytes: Buffer): {
  readonly records: LogRecord[];
  readonly end: number;
} {
  const records: LogRecord[] = [];
  let at = 0;
  while (bytes.length - at >= HEADER_BYTES) {
    const end = at + HEADER_BYTES + bytes.readUInt32LE(at);
    if (end > bytes.length) break;
    if (bytes[at + 5] === OUTPUT) {
      const stream = bytes[at + 4] === STDERR ? 'stderr' : 'stdout';
      records.push({ stream, data: bytes.subarray(at + HEADER_BYTES, end) });
    }
    at = end;
  }
  return { records, end: at };
}
