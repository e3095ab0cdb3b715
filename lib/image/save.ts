import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { decompressor } from '../archive/decompress.js';
import { compressionOfType } from '../archive/media-types.js';
import { writeArchive, type ArchiveFormat, type SavedLayer } from '../archive/write.js';
import { CaissonError } from '../errors/index.js';
import { normalize } from '../registry/reference.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { MEDIA_TYPES, type Descriptor, type Digest } from '../store/images.js';
import { parseImageManifest } from './documents.js';
import { exportLayer } from './export-layer.js';
import { hold, useImage } from './holds.js';
import { findById, sizeOfBlob, storedDocument, type ImageRecord } from './records.js';

const CHUNK_BYTES = 1 << 20;

/** An archive of the image as it is when somebody begins to read. It cannot be removed while it is read. */
export async function* saveImage(
  parts: RuntimeParts,
  id: Digest,
  format: ArchiveFormat,
): AsyncGenerator<Uint8Array> {
  parts.assertOpen('save an image');
  const end = useImage(parts, await hold(parts, id));
  try {
    const image = await findById(parts.store, id);
    if (image === undefined) throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: id });
    const manifest = await storedDocument(parts.store, image.manifest);
    const { config } = parseImageManifest(manifest, id);
    const save = new Save(parts, image, format);
    yield* writeArchive(
      {
        names: image.tags.flatMap((tag) => normalize(tag) ?? []),
        platform: image.platform,
        manifest,
        config: await storedDocument(parts.store, config),
        layers: await Promise.all(image.blobs.map((blob, i) => save.layer(blob, i))),
      },
      format,
    );
  } finally {
    end();
  }
}

class Save {
  readonly #parts: RuntimeParts;
  readonly #image: ImageRecord;
  readonly #format: ArchiveFormat;

  constructor(parts: RuntimeParts, image: ImageRecord, format: ArchiveFormat) {
    this.#parts = parts;
    this.#image = image;
    this.#format = format;
  }

  async layer(blob: Descriptor, i: number): Promise<SavedLayer> {
    const { images, layers } = this.#parts.store;
    const key = this.#image.keys[i] ?? '';
    const size = await sizeOfBlob(this.#parts.store, blob);
    if (size === undefined) {
      // It came from a folder, and is written as the archive that its digest is of.
      const folder = `layers/${key}`;
      const path = this.#parts.store.path(folder);
      return saved(blob, path, () => exportLayer(this.#parts, folder));
    }
    const path = images.blobs.path(blob.digest);
    const bytes = (): Readable => createReadStream(path, { highWaterMark: CHUNK_BYTES });
    if (this.#format === 'oci' || compressionOfType(blob.mediaType) !== 'zstd') {
      return saved(blob, path, bytes);
    }
    // Docker reads zstd only since version 23, and who wants this form may have an older one.
    const what = "the format 'docker' of an image with zstd layers";
    const transform = decompressor('zstd', what, "Save it with { format: 'oci' }.");
    const { tarBytes } = await layers.facts(key);
    const digest = this.#image.document.diffIds[i] ?? blob.digest;
    return saved({ mediaType: MEDIA_TYPES.layerTar, digest, size: tarBytes }, path, () =>
      pipeline(bytes(), transform, () => undefined),
    );
  }
}

/** What is damaged is not given away as if it were whole. */
function saved(
  descriptor: Descriptor,
  path: string,
  open: () => AsyncIterable<Uint8Array>,
): SavedLayer {
  const corrupt = (reason: string): CaissonError =>
    new CaissonError('ERR_STORE_CORRUPT', { path, reason });
  return {
    descriptor,
    async *open() {
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of open()) {
        size += chunk.byteLength;
        if (size > descriptor.size) throw corrupt(`it has more than ${descriptor.size} bytes`);
        hash.update(chunk);
        yield chunk;
      }
      const found = `sha256:${hash.digest('hex')}`;
      if (found !== descriptor.digest) throw corrupt(`its digest is ${found}`);
    },
  };
}
