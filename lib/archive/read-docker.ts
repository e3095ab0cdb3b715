import { open } from 'node:fs/promises';
import { MEDIA_TYPES } from '../store/images.js';
import { CaissonError } from '../errors/index.js';
import { readFully } from './bytes.js';
import { digestOf } from '../store/digest.js';
import { bagOf, listOf, MAX_LAYERS, parseConfig, parseJson } from '../store/documents.js';
import type { ArchivedImage, ArchivedLayer } from './image.js';
import { invalidArchive } from './invalid.js';
import { compressionOfBytes, layerType, MAGIC_BYTES, type Compression } from './media-types.js';
import type { Members, Place } from './members.js';
import { memberName } from './names.js';

/** One entry of a docker-archive's `manifest.json`. */
export interface DockerEntry {
  readonly names: readonly string[];
  readonly config: string;
  readonly layers: readonly string[];
}

const MANIFEST = 'manifest.json';
const MAX_IMAGES = 1000;
const MAX_NAMES = 1000;

const refuse = (reason: string): Error => invalidArchive(reason, MANIFEST);

/** @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` */
export function parseDockerManifest(bytes: Buffer): DockerEntry[] {
  const entries = parseJson(bytes, refuse);
  if (!Array.isArray(entries)) throw refuse('it is not a list');
  return listOf(entries, 'it', MAX_IMAGES, refuse).map((entry, i) => {
    const bag = bagOf(entry, `[${i}]`, refuse);
    const texts = (key: string, most: number): string[] =>
      listOf(bag[key], `[${i}].${key}`, most, refuse).map((text) => textOf(text, `[${i}].${key}`));
    return {
      names: texts('RepoTags', MAX_NAMES),
      config: memberName(textOf(bag['Config'], `[${i}].Config`)),
      layers: texts('Layers', MAX_LAYERS).map(memberName),
    };
  });
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw refuse(`${what} is not text`);
  return value;
}

/** The image of an entry: all it needs must be there. */
export async function readDockerImage(
  members: Members,
  entry: DockerEntry,
): Promise<ArchivedImage> {
  const bytes = await members.document(entry.config);
  if (bytes === undefined) throw refuse(`${JSON.stringify(entry.config)} is not there`);
  const document = parseConfig(bytes, (reason) => invalidArchive(reason, entry.config));
  const { diffIds, platform } = document;
  if (diffIds.length !== entry.layers.length) {
    throw refuse(`it has ${entry.layers.length} layers, ${entry.config} has ${diffIds.length}`);
  }
  const layers: ArchivedLayer[] = [];
  for (const [i, diffId] of diffIds.entries()) {
    const name = entry.layers[i] ?? '';
    const blob = await members.place(name);
    if (blob === undefined) throw refuse(`${JSON.stringify(name)} is not there`);
    const compression = await compressionOf(blob);
    if (compression === 'xz' || compression === 'bzip2') {
      const what = `a layer that is compressed with ${compression}`;
      throw new CaissonError('ERR_UNSUPPORTED', { what, reason: 'only gzip and zstd are' });
    }
    layers.push({
      name,
      mediaType: layerType(compression),
      digest: compression === 'none' ? diffId : undefined,
      diffId,
      blob,
    });
  }
  const config = { mediaType: MEDIA_TYPES.config, digest: digestOf(bytes), bytes };
  return { platform, manifest: undefined, config, layers };
}

/** Nothing else says it. */
async function compressionOf({ path, offset, size }: Place): Promise<Compression> {
  const file = await open(path, 'r');
  try {
    return compressionOfBytes(await readFully(file, offset, Math.min(size, MAGIC_BYTES)));
  } finally {
    await file.close();
  }
}
