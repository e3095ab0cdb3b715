import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { isDigest } from '../store/digest.js';
import { openFd } from '../store/files.js';
import type { Digest } from '../store/images.js';

export interface DigestedLayer {
  readonly digest: Digest;
  readonly tarBytes: number;
}

/**
 * The digest of a layer's archive as exportLayer writes it, which nobody reads: of a layer that came from a folder its
 * diffID, of any other one what two unpackings of its blob have in common.
 */
export async function digestLayer(
  parts: RuntimeParts,
  /** Store-relative. */
  layer: string,
  signal: AbortSignal | undefined,
): Promise<DigestedLayer> {
  const body = new FieldWriter(128).string(Tag.exportLayer, layer).bytes();
  const context = { action: 'verify a layer', pathOf: (): string => parts.store.path(layer) };
  const nowhere = await openFd('/dev/null', 'w');
  const done = await parts.supervisor.request(Type.export, body, context, signal, [nowhere]);
  const digest = done.string(Tag.importResult);
  if (!isDigest(digest)) throw new Error('a layer without a digest');
  return { digest, tarBytes: done.number(Tag.importTarBytes) ?? 0 };
}
