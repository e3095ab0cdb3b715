import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { piped } from '../runtime/piped.js';

/**
 * The archive of a layer that has no blob of its own: the bytes that its diffID is the digest of, as a worker of the
 * supervisor reads them.
 */
export function exportLayer(
  parts: RuntimeParts,
  /** Store-relative. */
  layer: string,
): AsyncGenerator<Uint8Array> {
  const body = new FieldWriter(128).string(Tag.exportLayer, layer).bytes();
  const context = { action: 'export a layer', pathOf: (): string => parts.store.path(layer) };
  return piped(parts, { type: Type.export, body, context });
}
