import type { RuntimeParts } from '../runtime/parts.js';
import type { LayerFacts } from '../store/layers.js';
import { IMAGES_LOCK } from '../store/leases.js';
import { removeFolder, takeLayerAway } from './folders.js';
import { callersOf } from './holds.js';
import { listImages } from './records.js';
import { syncStore } from './unpack.js';

interface Replacement {
  readonly key: string;
  /** Store-relative, and registered. */
  readonly folder: string;
  readonly facts: LayerFacts;
  /** The caller's own, of which it is in use. */
  readonly lease: string;
}

/**
 * Puts a folder in the place of a layer, unless somebody uses that: what a container sees is not taken from under it.
 * Returns by whom then.
 */
export async function replaceLayer(
  parts: RuntimeParts,
  { key, folder, facts, lease }: Replacement,
): Promise<readonly string[]> {
  const { store } = parts;
  // In no lock: it may take a while.
  await syncStore(parts);
  let away: string | undefined;
  const usedBy = await store.locks.hold(IMAGES_LOCK, 'exclusive', async () => {
    const users = (await store.layers.has(key)) ? await usersOf(parts, `layers/${key}`, lease) : [];
    if (users.length > 0) return users;
    const { blob } = await store.layers.facts(key).catch(() => ({ blob: undefined }));
    away = await takeLayerAway(parts, key, 'mend a layer');
    await store.layers.note(key, { ...facts, ...(blob && { blob }) });
    await store.layers.place(folder, key);
    return [];
  });
  if (away !== undefined) await removeFolder(parts, away);
  return usedBy;
}

/** Containers, and others as far as one can say who they are. */
async function usersOf(parts: RuntimeParts, layer: string, own: string): Promise<string[]> {
  const { store } = parts;
  const { alive, dead } = await store.containers.list();
  const users = [...alive, ...dead]
    .filter(({ config }) => config.layers.includes(layer))
    .map(({ config }) => config.name);
  for (const { id, layers } of await listImages(store)) {
    if (!layers.includes(layer)) continue;
    users.push(...(await callersOf(parts, id)));
  }
  if (users.length > 0) return users;
  const leases = await store.leases.inUse();
  const others = [...leases].some(([name, used]) => name !== own && used.includes(layer));
  return others ? ['another program'] : [];
}
