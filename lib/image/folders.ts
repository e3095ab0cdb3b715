import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { temporaryName } from '../store/files.js';

/** Writes into the journal that a folder of the store is to go when this runtime ends, before it is made. */
export async function registerFolder(
  parts: RuntimeParts,
  folder: string,
  action: string,
): Promise<void> {
  await parts.supervisor.request(Type.register, bodyOf(folder), { action });
}

/** Removes a folder of the store with all below it, by a hand; absent is success. */
export async function removeFolder(parts: RuntimeParts, folder: string): Promise<void> {
  await parts.supervisor.request(Type.remove, bodyOf(folder), { action: 'remove' });
}

/**
 * Takes a layer out of its place, so that it is never there in part; where it is now, to be removed. The caller holds
 * IMAGES_LOCK exclusively, and nobody uses it.
 */
export async function takeLayerAway(
  parts: RuntimeParts,
  key: string,
  action: string,
): Promise<string> {
  const away = `layers/${temporaryName()}`;
  // Journalled: whoever dies now, it goes.
  await registerFolder(parts, away, action);
  await parts.store.layers.takeAway(key, away);
  // Nothing is there now; the supervisor forgets what it had prepared of it.
  await removeFolder(parts, `layers/${key}`);
  return away;
}

const bodyOf = (folder: string): Uint8Array =>
  new FieldWriter(128).string(Tag.folder, folder).bytes();
