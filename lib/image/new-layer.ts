import type { RuntimeParts } from '../runtime/parts.js';
import { temporaryName } from '../store/files.js';
import type { Digest } from '../store/images.js';
import { registerFolder, removeFolder } from './folders.js';
import { chainIds } from './layers.js';
import { settleOn, syncStore, unpack, type Unpacked } from './unpack.js';

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
    const { diffId } = unpacked;
    const chainId = chainIds([...below.diffIds, diffId]).at(-1) ?? diffId;
    const { key, facts } = await settleOn(parts, temporary, unpacked, {
      keys: below.keys,
      chainId,
    });
    await syncStore(parts);
    return await use({
      ...unpacked,
      key,
      async place() {
        await layers.note(key, facts);
        await layers.place(temporary, key);
      },
    });
  } finally {
    // What is still there was not needed; of what was moved away, this forgets the journal's record.
    parts.background(removeFolder(parts, temporary));
  }
}
