import { realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { invalid } from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import { errnoOf, temporaryName } from '../store/files.js';
import type { Digest } from '../store/images.js';
import type { Store } from '../store/store.js';
import type { ImageConfig } from './config.js';
import { folderDescriptor } from './documents.js';
import { addImage, type ImageRecord } from './records.js';
import { registerFolder, removeFolder } from './folders.js';
import { importStream } from './import-stream.js';
import { rootfsDocuments } from './rootfs-documents.js';
import type { ImportRequest } from './request.js';

interface ImportedLayer {
  readonly diffId: Digest;
  readonly tarBytes: number;
}

/** A folder, or an archive of one, becomes an image of one layer. */
export async function importRootfs(
  parts: RuntimeParts,
  { source, config, signal }: ImportRequest,
): Promise<ImageRecord> {
  throwIfAborted(signal);
  const image =
    typeof source === 'string'
      ? await importFolder(parts, source, config, signal)
      : await importStream(parts, source, config, signal);
  parts.emit({ type: 'image.import', id: image.id, time: new Date() });
  return image;
}

/**
 * The supervisor copies it beside the layers and says what the digest of its canonical tar is, which names the layer; a
 * layer that is there already is taken.
 */
async function importFolder(
  parts: RuntimeParts,
  dir: string,
  config: ImageConfig,
  signal: AbortSignal | undefined,
): Promise<ImageRecord> {
  const store = parts.store;
  const source = await checkSource(resolve(dir), store);
  const temporary = `layers/${temporaryName()}`;

  // Journalled: whoever dies now, it goes.
  await registerFolder(parts, temporary, 'import');
  try {
    const { diffId, tarBytes } = await copy(parts, source, temporary, signal);
    throwIfAborted(signal);
    const layer = folderDescriptor(diffId, tarBytes);
    const made = { ...rootfsDocuments(config, layer, diffId), keys: [hexOf(diffId)] };
    // Under the lock: two who import the same folder at once end with one layer.
    return await addImage(store, { ...made, sizeBytes: tarBytes, names: [] }, async () => {
      await store.layers.note(hexOf(diffId), { tarBytes, hidesAll: false, settled: false });
      await store.layers.place(temporary, hexOf(diffId));
    });
  } finally {
    // What is still there was not needed; of what was moved away, this forgets the journal's record.
    parts.background(removeFolder(parts, temporary));
  }
}

async function checkSource(dir: string, store: Store): Promise<string> {
  try {
    const source = await realpath(dir);
    if (!(await stat(source)).isDirectory()) throw invalid('dir', 'must be a folder');
    const root = await realpath(store.root);
    if (source === '/' || root === source || root.startsWith(`${source}/`)) {
      throw invalid('dir', `${JSON.stringify(dir)} holds the store itself`);
    }
    return source;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') {
      throw invalid('dir', `no such folder: ${JSON.stringify(dir)}`);
    }
    throw error;
  }
}

async function copy(
  parts: RuntimeParts,
  source: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<ImportedLayer> {
  const body = new FieldWriter(512)
    .string(Tag.importSource, source)
    .string(Tag.importTarget, target)
    .bytes();
  const layers = join(parts.root, 'layers');
  try {
    const context = { action: 'import', pathOf: (): string => layers };
    const done = await parts.supervisor.request(Type.import, body, context, signal);
    const diffId = done.string(Tag.importResult);
    if (diffId?.startsWith('sha256:') !== true) throw new Error('an import without a digest');
    return { diffId: diffId as Digest, tarBytes: done.number(Tag.importTarBytes) ?? 0 };
  } catch (error) {
    throw importError(error, source);
  }
}

/** The supervisor says what failed and where below the source. */
function importError(error: unknown, source: string): unknown {
  if (!CaissonError.is(error, 'ERR_REQUEST_FAILED')) return error;
  const { action: _, detail, ...failure } = error.details;
  const details = { ...failure, path: join(source, detail ?? ''), source };
  const hint = HINTS[failure.errno];
  return new CaissonError('ERR_IMPORT_FAILED', details, {
    cause: error.cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES:
    'An ordinary user imports what it may read: own the files, or make the folder as that user.',
  EINVAL: "A name that begins with '.wh.' means a removal in an image: rename the file.",
  EOPNOTSUPP: 'The file system of the store lacks something that these files have.',
};
