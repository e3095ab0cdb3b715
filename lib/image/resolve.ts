import { checkName, invalid } from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hold } from './holds.js';
import type { HostCache } from './host-image.js';
import { Image, sourceOf } from './image.js';
import { pullImage } from './pull.js';
import { findImage } from './find.js';
import type { ImageRecord } from './records.js';
import { parsePull } from './request.js';
import type { ResolvedImage } from './resolved-image.js';

const HOST_CACHE = Symbol('caisson.image.host');

/** So many folders overlay stacks (OVL_MAX_STACK in the kernel). */
const MAX_LAYERS = 500;

/** Images of more can be had and given away. @throws {@link CaissonError} `ERR_UNSUPPORTED` */
export function mountable(image: ResolvedImage): ResolvedImage {
  const { length } = image.layers;
  if (length <= MAX_LAYERS) return image;
  throw new CaissonError(
    'ERR_UNSUPPORTED',
    { what: `a container of ${length} layers`, reason: `the kernel stacks ${MAX_LAYERS} at most` },
    { hint: 'Build the image with fewer instructions, or flatten it.' },
  );
}

/** An id is never pulled. */
const ID = /^sha256:|^[0-9a-f]{64}$/;

async function findOrPull(
  parts: RuntimeParts,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<ImageRecord> {
  try {
    return await findImage(parts.store, reference);
  } catch (error) {
    if (!CaissonError.is(error, 'ERR_IMAGE_NOT_FOUND') || ID.test(reference)) throw error;
    return await pullImage(parts, parsePull(reference, { signal }), () => undefined);
  }
}

/**
 * What a container needs of an image: of an `Image`, or of what `Image.get()` would find or else `Image.pull()` brings. Its layers
 * stay while the Runtime is open, unless `Image.remove({ force: true })` says otherwise.
 *
 * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND` of an id; `ERR_UNSUPPORTED` for more layers than the kernel stacks; the
 * errors of `Image.pull()`
 */
export async function resolveImage(
  parts: RuntimeParts,
  image: unknown,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  throwIfAborted(signal);
  if (!(image instanceof Image)) {
    const { id } = await findOrPull(parts, checkName(image, 'image'), signal);
    return mountable(await hold(parts, id));
  }
  const source = sourceOf(image);
  if (source.kind === 'host') {
    const cache = parts.slot<HostCache>(HOST_CACHE, () => new Map());
    return await source.host.resolve(parts, cache);
  }
  if (source.parts.root !== parts.root) {
    throw invalid('image', `belongs to the store ${source.parts.root}, not to ${parts.root}`);
  }
  return mountable(await hold(parts, source.record.id));
}
