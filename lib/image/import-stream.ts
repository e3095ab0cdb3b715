import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  compressionOfBytes,
  layerType,
  MAGIC_BYTES,
  type LayerCompression,
} from '../archive/media-types.js';
import { invalid, kindOf } from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import type { NewBlob } from '../store/blobs.js';
import type { Descriptor } from '../store/images.js';
import type { ImageConfig } from './config.js';
import { withNewLayer } from './new-layer.js';
import { rootfsDocuments } from './rootfs-documents.js';
import { addImage, type ImageRecord } from './records.js';

/** What errors call it. */
const NAME = 'the archive';

/** A tar archive, plain or compressed, becomes an image of one layer: its blob is what came. */
export async function importStream(
  parts: RuntimeParts,
  source: Readable,
  config: ImageConfig,
  signal: AbortSignal | undefined,
): Promise<ImageRecord> {
  const blob = await parts.store.images.blobs.begin();
  try {
    const head = await receive(source, blob, signal);
    const mediaType = layerType(compressionOf(head));
    const digest = await blob.end();
    const job = { path: blob.path, size: blob.size, below: { keys: [], diffIds: [] }, signal };
    return await withNewLayer(parts, { ...job, name: NAME }, async (layer) => {
      throwIfAborted(signal);
      const descriptor: Descriptor = { mediaType, digest, size: blob.size };
      const documents = rootfsDocuments(config, descriptor, layer.diffId);
      const made = { keys: [layer.key], sizeBytes: layer.tarBytes, names: [] };
      return await addImage(parts.store, { ...documents, ...made }, async () => {
        await blob.keep();
        await layer.place();
      });
    });
  } finally {
    // It has its own name by now, or is nobody's.
    await blob.discard();
  }
}

/** Reads it to its end, or destroys it. Its first bytes. */
async function receive(
  source: Readable,
  blob: NewBlob,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  let head = Buffer.alloc(0);
  const take = async (chunks: AsyncIterable<unknown>): Promise<void> => {
    for await (const chunk of chunks) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      if (!(bytes instanceof Uint8Array)) {
        throw invalid('source', `must be a stream of bytes, not of ${kindOf(chunk)}`);
      }
      if (head.length < MAGIC_BYTES) head = Buffer.concat([head, bytes.subarray(0, MAGIC_BYTES)]);
      await blob.write(bytes);
    }
  };
  try {
    // Before that it may have failed, which pipeline does not tell.
    if (source.errored instanceof Error) throw source.errored;
    await pipeline(source, take, signal === undefined ? {} : { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
  if (head.length > 0) return head;
  throw new CaissonError('ERR_IMAGE_INVALID', { reference: NAME, reason: 'it is empty' });
}

function compressionOf(head: Buffer): LayerCompression {
  const compression = compressionOfBytes(head);
  if (compression !== 'xz' && compression !== 'bzip2') return compression;
  throw new CaissonError(
    'ERR_UNSUPPORTED',
    {
      what: `an archive that is compressed with ${compression}`,
      reason: 'only gzip and zstd are',
    },
    { hint: 'Decompress it outside, and hand in the stream.' },
  );
}
