import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import { temporaryName } from '../store/files.js';
import type { Digest } from '../store/images.js';
import { registerFolder, removeFolder } from './folders.js';
import { chainIds } from './layers.js';
import { settle, syncStore, unpack, type Unpacked } from './unpack.js';

/** A layer that no image has yet. */
export interface NewLayer extends Unpacked {
  /** Name of its folder below `layers/`, once it has its place. */
  readonly key: string;
  /** Gives it that place, under the lock that is held when its image is listed. */
  place(): Promise<void>;
}

export interface NewLayerJob {
  /** Of its archive, compressed or not. */
  readonly path: string;
  readonly size: number;
  /** Those below it, lowest first. */
  readonly below: { readonly keys: readonly string[]; readonly diffIds: readonly Digest[] };
  /** For errors. */
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** Unpacks an archive and hands the layer to `use`. What has no place by then is nowhere. */
export async function withNewLayer<T>(
  parts: RuntimeParts,
  { path, size, below, name, signal }: NewLayerJob,
  use: (layer: NewLayer) => Promise<T>,
): Promise<T> {
  const { layers } = parts.store;
  const temporary = `layers/${temporaryName()}`;
  // Journalled: whoever dies now, it goes.
  await registerFolder(parts, temporary, 'unpack a layer');
  try {
    const job = { path, length: size, target: temporary, layer: name, signal };
    const unpacked = await unpack(parts, job);
    const { diffId, tarBytes, hidesAll } = unpacked;
    // What it leaves out, or hides, is for what lies below it to say.
    const settled = unpacked.omitted > 0;
    const chainId = chainIds([...below.diffIds, diffId]).at(-1) ?? diffId;
    const key = hexOf(settled && below.keys.length > 0 ? chainId : diffId);
    if (settled) {
      const lower = below.keys.map((one) => `layers/${one}`);
      await settle(parts, temporary, lower);
    }
    await syncStore(parts);
    return await use({
      ...unpacked,
      key,
      async place() {
        await layers.note(key, { tarBytes, hidesAll, settled });
        await layers.place(temporary, key);
      },
    });
  } finally {
    // What is still there was not needed; of what was moved away, this forgets the journal's record.
    parts.background(removeFolder(parts, temporary));
  }
}
