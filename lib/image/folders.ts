import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { RuntimeParts } from '../runtime/parts.js';

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

const bodyOf = (folder: string): Uint8Array =>
  new FieldWriter(128).string(Tag.folder, folder).bytes();
