import { checkName, invalid } from '../errors/arguments.js';
import { throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hold } from './holds.js';
import type { HostCache } from './host-image.js';
import { Image, sourceOf } from './image.js';
import { findImage } from './records.js';
import type { ResolvedImage } from './resolved-image.js';

const HOST_CACHE = Symbol('caisson.image.host');

/**
 * What a container needs of an image: of an `Image`, or of what `Image.get()` would find. Its layers
 * stay while the Runtime is open, unless `Image.remove({ force: true })` says otherwise.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`
 */
export async function resolveImage(
  parts: RuntimeParts,
  image: unknown,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  throwIfAborted(signal);
  if (!(image instanceof Image)) {
    const reference = checkName(image, 'image');
    const { id } = await findImage(parts.store, reference);
    return await hold(parts, id);
  }
  const source = sourceOf(image);
  if (source.kind === 'host') {
    const cache = parts.slot<HostCache>(HOST_CACHE, () => new Map());
    return await source.host.resolve(parts, cache);
  }
  if (source.parts.root !== parts.root) {
    throw invalid('image', `belongs to the store ${source.parts.root}, not to ${parts.root}`);
  }
  return await hold(parts, source.record.id);
}
