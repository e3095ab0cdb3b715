import { formatPax } from './pax.js';
import { BLOCK, formatHeader, padded } from './tar-header.js';

const MAX_NAME_BYTES = 100;
/** Eleven octal digits. */
const MAX_SIZE = 8 ** 11 - 1;

export interface TarFile {
  readonly name: string;
  readonly size: number;
  /** `size` bytes. */
  readonly data: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** A folder is a name alone. */
export type TarPart = string | TarFile;

/**
 * A tar archive as POSIX has it. Nothing in it depends on when and where it was made: everything is root's and has the
 * time 0, so the same parts are the same bytes.
 */
export async function* writeTar(
  parts: Iterable<TarPart> | AsyncIterable<TarPart>,
): AsyncGenerator<Uint8Array> {
  for await (const part of parts) {
    if (typeof part === 'string') {
      yield header(`${part}/`, '5', 0);
      continue;
    }
    yield header(part.name, '0', part.size);
    let written = 0;
    for await (const chunk of part.data) {
      written += chunk.byteLength;
      if (written > part.size) break;
      yield chunk;
    }
    if (written !== part.size) {
      throw new Error(`${part.name} has not the ${part.size} bytes that it was said to have`);
    }
    yield Buffer.alloc(padded(part.size) - part.size);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** With an extended one before it, where it has no room. */
function header(name: string, type: string, size: number): Buffer {
  const records = {
    ...(Buffer.byteLength(name) > MAX_NAME_BYTES && { path: name }),
    ...(size > MAX_SIZE && { size: String(size) }),
  };
  const own = formatHeader({
    name: Buffer.from(name).toString('utf8', 0, MAX_NAME_BYTES),
    type,
    size: size > MAX_SIZE ? 0 : size,
  });
  if (Object.keys(records).length === 0) return own;
  const data = formatPax(records);
  return Buffer.concat([
    formatHeader({ name: 'PaxHeader', type: 'x', size: data.length }),
    data,
    Buffer.alloc(padded(data.length) - data.length),
    own,
  ]);
}
