import { MEDIA_TYPES, type Descriptor, type Digest } from '../store/images.js';
import type { ImageConfig } from './config.js';
import { descriptorOf, jsonDocument, type Document } from './documents.js';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Nothing in them depends on when they were made: the same content is the same image. */
export function rootfsDocuments(
  config: ImageConfig,
  layer: Descriptor,
  diffId: Digest,
): { readonly manifest: Document; readonly config: Document } {
  const document = jsonDocument(MEDIA_TYPES.config, {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [diffId] },
  });
  const manifest = jsonDocument(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: descriptorOf(document),
    layers: [layer],
  });
  return { manifest, config: document };
}
