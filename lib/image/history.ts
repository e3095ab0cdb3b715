import type { Digest } from '../store/images.js';
import type { Store } from '../store/store.js';
import { dateOf } from './documents.js';
import type { ImageRecord } from './records.js';

/** One step of how an image was made. */
export interface Layer {
  /** The instruction or command; empty where nobody wrote it down. */
  readonly createdBy: string;
  readonly createdAt: Date | null;
  /** Of its layer, without compression; 0 for a step that made none. */
  readonly sizeBytes: number;
  /** DiffID of its layer; null for a step that made none. */
  readonly diffId: Digest | null;
  readonly comment: string;
}

/**
 * Newest first. Layers that the history does not speak of come with empty texts; entries that speak of more layers than
 * there are count for none.
 */
export async function historyOf(store: Store, image: ImageRecord): Promise<Layer[]> {
  const { diffIds, history } = image.document;
  const sizes = await Promise.all(image.keys.map((key) => store.layers.facts(key)));
  const steps: Layer[] = [];
  let next = 0;
  const layer = (): Pick<Layer, 'diffId' | 'sizeBytes'> => {
    const diffId = diffIds[next] ?? null;
    const { tarBytes } = sizes[next] ?? { tarBytes: 0 };
    next += 1;
    return { diffId, sizeBytes: diffId === null ? 0 : tarBytes };
  };
  for (const { createdBy = '', created, comment = '', emptyLayer } of history) {
    steps.push({
      createdBy,
      createdAt: dateOf(created) ?? null,
      comment,
      ...(emptyLayer ? { diffId: null, sizeBytes: 0 } : layer()),
    });
  }
  while (next < diffIds.length) {
    steps.push({ createdBy: '', createdAt: null, comment: '', ...layer() });
  }
  return steps.reverse();
}
