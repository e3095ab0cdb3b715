import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { CaissonError } from '../errors/index.js';
import { errnoOf } from '../store/files.js';
import { StreamBytes } from './bytes.js';
import { invalidArchive } from './invalid.js';
import { compressionOfBytes, MAGIC_BYTES, type Compression } from './media-types.js';

/** With Node's own 16 KiB it takes five times as long. */
const CHUNK_BYTES = 1 << 20;

/** Node has it from 22.15 on, its types here are those of 20. */
const { createZstdDecompress } = zlib as {
  createZstdDecompress?: (options: { chunkSize: number }) => Transform;
};

/**
 * What an archive is when the compression around it is taken off, as its first bytes say.
 *
 * @throws {@link CaissonError} `ERR_UNSUPPORTED`
 */
export async function decompress(bytes: StreamBytes): Promise<StreamBytes> {
  const head = await bytes.peek(MAGIC_BYTES);
  if (head.length === 0) throw invalidArchive('it is empty');
  const compression = compressionOfBytes(head);
  if (compression === 'none') return bytes;
  // An error of the stream itself goes through it, and when this one is not read to its end that one is destroyed.
  const what = `an archive that is compressed with ${compression}`;
  const hint = 'Decompress it outside, and hand in the stream.';
  const transform = decompressor(compression, what, hint);
  const plain = pipeline(Readable.from(bytes.rest()), transform, () => undefined);
  return new StreamBytes(understood(plain, compression));
}

/** @throws {@link CaissonError} `ERR_UNSUPPORTED`, of `what` */
export function decompressor(compression: Compression, what: string, hint: string): Transform {
  if (compression === 'gzip') return zlib.createGunzip({ chunkSize: CHUNK_BYTES });
  if (compression === 'zstd' && createZstdDecompress !== undefined) {
    return createZstdDecompress({ chunkSize: CHUNK_BYTES });
  }
  throw new CaissonError(
    'ERR_UNSUPPORTED',
    {
      what,
      reason:
        compression === 'zstd'
          ? `Node.js ${process.versions.node} has no zstd; 22.15 and later have`
          : 'only gzip and zstd are',
    },
    { hint },
  );
}

/** A fault in what is compressed is one of the archive. */
async function* understood(plain: Transform, compression: string): AsyncGenerator<Uint8Array> {
  try {
    yield* plain as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (!/^(?:Z_|ZSTD_)/.test(errnoOf(error) ?? '')) throw error;
    throw invalidArchive(`its ${compression} compression is damaged`, undefined, error);
  }
}
