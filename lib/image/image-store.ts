import type { Readable } from 'node:stream';
import { throwIfAborted } from '../errors/index.js';
import type { Call } from '../runtime/call.js';
import { registerStore } from '../runtime/registry.js';
import { partsOf, type Runtime } from '../runtime/runtime.js';
import type { Digest } from '../store/images.js';
import type { ImageConfig } from './config.js';
import { Image } from './image.js';
import { operation, type Operation } from './operation.js';
import type {
  HostOptions,
  ImageListOptions,
  PruneImagesOptions,
  PullOptions,
  VerifyOptions,
} from './options.js';
import type { PullEvent } from './pull.js';
import { pruneImages } from './remove.js';
import { parsePrune, parseVerify } from './request.js';
import { imagesUsage, type ImagesUsage } from './usage.js';
import { verifyStore, type VerifyEvent, type VerifyReport } from './verify.js';

type Unbound<O> = Omit<O, 'runtime'>;

/** `runtime.images`: the statics of {@link Image}, bound to one Runtime. */
export class ImageStore {
  readonly #runtime: Runtime;

  /** @internal */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** {@link Image.host} */
  host(options?: Unbound<HostOptions>): Image {
    return Image.host(options);
  }

  /** {@link Image.fromRootfs} */
  async fromRootfs(
    dir: string | Readable,
    config?: ImageConfig,
    options?: Unbound<Call>,
  ): Promise<Image> {
    return await Image.fromRootfs(dir, config, this.#bind(options));
  }

  /** {@link Image.get} */
  async get(ref: string, options?: Unbound<Call>): Promise<Image> {
    return await Image.get(ref, this.#bind(options));
  }

  /** {@link Image.list} */
  async list(options?: Unbound<ImageListOptions>): Promise<Image[]> {
    return await Image.list(this.#bind(options));
  }

  /** {@link Image.pull} */
  pull(ref: string, options?: Unbound<PullOptions>): Operation<Image, PullEvent> {
    return Image.pull(ref, this.#bind(options));
  }

  /** {@link Image.load} */
  async load(source: string | Readable, options?: Unbound<Call>): Promise<Image[]> {
    return await Image.load(source, this.#bind(options));
  }

  /**
   * Removes the images that have no name and that no container uses, or which of them the options say, with their
   * layers, and what is left of downloads that were cut off. Returns the ids.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`, `ERR_RUNTIME_CLOSED`
   */
  async prune(options?: Unbound<PruneImagesOptions>): Promise<Digest[]> {
    const request = parsePrune(options);
    throwIfAborted(request.signal);
    return await pruneImages(await partsOf(this.#runtime, 'prune images'), request);
  }

  /**
   * Finds what is damaged: documents and blobs against their digests, unpacked layers against what their blobs hold.
   * Nothing is changed without `repair`. Everything else goes on meanwhile; pulls, runs and removals too. Resolves with
   * what it found, also when that is much.
   *
   * @example
   * ```ts
   * const { ok, problems } = await runtime.images.verify();
   * for (const { kind, path, detail, images, fix } of problems) console.log(kind, path, detail, images, fix);
   * ```
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`; `ERR_IMAGE_NOT_FOUND` for one of `images`; `ERR_RUNTIME_CLOSED`;
   * `ERR_STORE_FULL`: a layer is unpacked beside the one that is there
   */
  verify(options?: Unbound<VerifyOptions>): Operation<VerifyReport, VerifyEvent> {
    return operation(async (tell) => {
      const request = parseVerify(options);
      const parts = await partsOf(this.#runtime, 'verify the images');
      return await verifyStore(parts, request, tell);
    });
  }

  /**
   * What the images of the store take, each, together, and how much of it `prune({ dangling: false })` would free.
   *
   * @throws {@link CaissonError} `ERR_RUNTIME_CLOSED`
   */
  async diskUsage(): Promise<ImagesUsage> {
    return await imagesUsage(await partsOf(this.#runtime, 'measure the images'));
  }

  #bind<O extends object>(options: O | undefined): O & { runtime: Runtime } {
    return { ...(options as O), runtime: this.#runtime };
  }
}

registerStore('images', (runtime) => new ImageStore(runtime));
