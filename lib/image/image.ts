import { Readable } from 'node:stream';
import { checkName, notYet } from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { Call } from '../runtime/call.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { checkOwnRuntime, partsOf } from '../runtime/runtime.js';
import type { Digest } from '../store/images.js';
import type { ImageConfig } from './config.js';
import { withGiven } from './given-stream.js';
import { historyOf, type Layer } from './history.js';
import { HostImage } from './host-image.js';
import { importRootfs } from './import.js';
import { inspectImage, type ImageInfo } from './inspect.js';
import { loadImages } from './load.js';
import { failedOperation, operation, type Operation } from './operation.js';
import type {
  HostOptions,
  ImageListOptions,
  PullOptions,
  PushOptions,
  RemoveImageOptions,
  SaveImageOptions,
} from './options.js';
import { findImage } from './find.js';
import { hasLabel, listImages, tagImage, untagImage, type ImageRecord } from './records.js';
import { familiar, parseReference } from '../registry/reference.js';
import { pullImage, type PullEvent } from './pull.js';
import { pushImage, type PushEvent } from './push.js';
import { removeImage } from './remove.js';
import { saveImage } from './save.js';
import {
  parseCall,
  parseFromRootfs,
  parseHost,
  parseList,
  parseLoad,
  parsePull,
  parsePush,
  parseRemove,
  parseSave,
} from './request.js';
import type { ImageId } from './resolved-image.js';

/** Where an image's contents are: on this machine itself, or in a store. */
export type ImageSource =
  | { readonly kind: 'host'; readonly host: HostImage }
  | { readonly kind: 'stored'; readonly parts: RuntimeParts; readonly record: ImageRecord };

/** Reaches the source of an Image without publishing it. */
export let sourceOf: (image: Image) => ImageSource;

/**
 * What containers are made from. A handle: it owns nothing, and two that have the same `id` are the same
 * image.
 */
export class Image {
  readonly #source: ImageSource;
  #tags: readonly string[];

  /** @internal Use the static methods. */
  constructor(source: ImageSource) {
    this.#source = source;
    this.#tags = source.kind === 'host' ? [] : Object.freeze([...source.record.tags]);
  }

  static {
    sourceOf = (image) => image.#source;
  }

  /**
   * This machine's own programs, read-only, below a fresh writable root: no image needed. Shown are
   * `/usr /bin /sbin /lib* /opt`, the folder of the running node, and a fixed list below `/etc` (users,
   * name services, the dynamic loader's, certificates, time zone) without anything secret. `/tmp`,
   * `/root`, `/home` and `/var` are the container's own. Its `Cmd` is `/bin/sh`. It has no `push`, `save`, `tag`,
   * `untag`, `inspect`, `history` and `remove`.
   *
   * @example
   * ```ts
   * await Container.run(Image.host({ paths: [process.cwd()] }), ['node', 'test.js'], { cwd: process.cwd() });
   * ```
   * @throws {@link CaissonError} at once: `ERR_INVALID_ARGUMENT`, also when one of `paths` does not exist
   */
  static host(options?: HostOptions): Image {
    return new Image({ kind: 'host', host: new HostImage(parseHost(options)) });
  }

  /**
   * Imports a root file system, as a folder or as a tar archive: the store gets a copy, which later changes of the
   * folder do not reach. Contents, holes, hard links, modes, owners, times and xattrs are kept. Of a folder what lies
   * on other mounts is not followed, and sockets are left out; of an archive whiteouts mean what they mean in a layer, as to
   * `docker import`. As an ordinary user with a single id, every file becomes root's (of the container) and device nodes
   * are left out.
   *
   * The same content with the same `config` is the same image. It has no name until `tag` gives it one.
   *
   * @param source - A folder, relative to the working folder; or a tar archive as a stream (plain, gzip or zstd), which
   * is read to its end or destroyed.
   * @param config - What containers of it run by default. Default: nothing, as root in `/`.
   * @example
   * ```ts
   * const copy = await Image.fromRootfs(container.export(), { Cmd: ['sh'] });
   * ```
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` when there is no such folder, or the store lies in it, or
   * `config` is not one; `ERR_IMPORT_FAILED` with the path it failed at; `ERR_IMAGE_INVALID` for what is no archive;
   * `ERR_UNSUPPORTED` for another compression; `ERR_STORE_FULL`
   */
  static async fromRootfs(
    source: string | Readable,
    config?: ImageConfig,
    options?: Call,
  ): Promise<Image> {
    const request = parseFromRootfs(source, config, options);
    return await withGiven(request.source, async () => {
      const parts = await partsOf(request.runtime, 'import');
      return stored(parts, await importRootfs(parts, request));
    });
  }

  /**
   * The image of that name (`debian`, `registry.example/app:1.2`), id, or beginning of an id.
   *
   * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND`; `ERR_INVALID_ARGUMENT` when several ids begin like that
   */
  static async get(ref: string, options?: Call): Promise<Image> {
    const reference = checkName(ref, 'ref');
    const { runtime, signal } = parseCall(options);
    throwIfAborted(signal);
    const parts = await partsOf(runtime, 'get an image');
    return stored(parts, await findImage(parts.store, reference));
  }

  /** The images of the store, oldest first. */
  static async list(options?: ImageListOptions): Promise<Image[]> {
    const { runtime, signal, reference, labels } = parseList(options);
    throwIfAborted(signal);
    const parts = await partsOf(runtime, 'list images');
    const name = reference === undefined ? undefined : familiar(reference);
    const images = await listImages(parts.store);
    return images
      .filter(({ tags }) => name === undefined || tags.includes(name))
      .filter(({ config }) => labels.every((label) => hasLabel(config, label)))
      .map((record) => stored(parts, record));
  }

  /**
   * The image of that name from its registry: `alpine` means `docker.io/library/alpine:latest`. Layers come several at
   * once and are unpacked while they come; what is here already is not fetched again, also when several programs pull
   * at once. Nothing counts before it is verified. What was cut off, by an abort too, is gone on with the next time.
   *
   * @example
   * ```ts
   * for await (const { layer, status, currentBytes, totalBytes } of Image.pull('debian:12')) {
   *   console.log(layer, status, `${currentBytes}/${totalBytes}`);
   * }
   * ```
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`; `ERR_MANIFEST_NOT_FOUND`, `ERR_PLATFORM_NOT_FOUND`, and the other
   * errors of registries (docs/errors.md); `ERR_IMAGE_INVALID`, `ERR_DIGEST_MISMATCH`; `ERR_IMAGE_NOT_FOUND` with
   * `policy: 'never'`; `ERR_UNSUPPORTED` for what is no image; `ERR_STORE_FULL`
   */
  static pull(ref: string, options?: PullOptions): Operation<Image, PullEvent> {
    return operation(async (tell) => {
      const request = parsePull(ref, options);
      const parts = await partsOf(request.runtime, 'pull an image');
      return stored(parts, await pullImage(parts, request, tell));
    });
  }

  /** Not in this version: rejects with `ERR_UNSUPPORTED`. */
  static build(_options: object): Operation<Image, never> {
    return failedOperation(notYet('Image.build()'));
  }

  /**
   * The images of an archive that `docker save`, `podman save`, `skopeo copy`, `buildah push` or `save` has made, of an
   * OCI archive, or of a folder with an OCI layout; which it is, and whether it is compressed (gzip; zstd where Node has
   * it, from 22.15 on), is seen. All of them are there in the end, with their names, or none. A file or folder is read in
   * place, its layers several at once. Of an image for several platforms the one for this machine is taken. What is no
   * name of an image, as a tag alone in a layout, is left out.
   *
   * @param source - A path, or the archive itself as a stream, which is read to its end or destroyed.
   * @example
   * ```ts
   * const [image] = await Image.load(process.stdin);
   * ```
   * @throws {@link CaissonError} `ERR_IMAGE_ARCHIVE_INVALID` with the file in it that is wrong; `ERR_IMAGE_INVALID` for a
   * layer; `ERR_PLATFORM_NOT_FOUND`; `ERR_INVALID_ARGUMENT` when there is no such file; `ERR_UNSUPPORTED` for another
   * compression; `ERR_STORE_FULL`
   */
  static async load(source: string | Readable, options?: Call): Promise<Image[]> {
    const request = parseLoad(source, options);
    return await withGiven(request.source, async () => {
      const parts = await partsOf(request.runtime, 'load images');
      const records = await loadImages(parts, request);
      return records.map((record) => stored(parts, record));
    });
  }

  /** `sha256:` and the digest of its configuration, or `host:` and a hash of the options. */
  get id(): ImageId {
    return this.#source.kind === 'host' ? this.#source.host.id : this.#source.record.id;
  }

  /** Names, in their short form (`debian:latest`). As they were when this handle was made, and as `tag` changed them. */
  get tags(): readonly string[] {
    return this.#tags;
  }

  /** Sum of its layers as tar archives, without compression; 0 of this machine's own programs. */
  get sizeBytes(): number {
    return this.#source.kind === 'host' ? 0 : this.#source.record.sizeBytes;
  }

  /** What containers of it run by default. */
  get config(): Readonly<ImageConfig> {
    return this.#source.kind === 'host' ? this.#source.host.config : this.#source.record.config;
  }

  /**
   * Gives it one more name. An image that had the name loses it, and stays, if need be nameless.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` for what cannot be a name; `ERR_IMAGE_NOT_FOUND` when it was
   * removed
   */
  async tag(ref: string): Promise<void> {
    const { parts, record } = this.#stored('tag');
    const name = parseReference(checkName(ref, 'ref'));
    this.#tags = Object.freeze(await tagImage(parts.store, record.id, name));
  }

  /**
   * Takes one of its names away. The image stays, if need be nameless.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` for what cannot be a name; `ERR_IMAGE_NOT_FOUND` when it has no
   * such name, or was removed
   */
  async untag(ref: string): Promise<void> {
    const { parts, record } = this.#stored('untag');
    const name = parseReference(checkName(ref, 'ref'));
    this.#tags = Object.freeze(await untagImage(parts.store, record.id, name));
  }

  /**
   * Sees to it that a registry has it, under that name: what is there already is not sent, and what another repository
   * of the registry has is taken from there. Layers that came from a folder are compressed first, once. Resolves with
   * the digest of its manifest there.
   *
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`; the errors of registries (docs/errors.md); `ERR_IMAGE_NOT_FOUND`
   * when it was removed; `ERR_STORE_CORRUPT`, `ERR_STORE_FULL`
   */
  push(ref: string, options?: PushOptions): Operation<Digest, PushEvent> {
    return operation(async (tell) => {
      const request = parsePush(ref, options);
      const { parts, record } = this.#stored('push');
      checkOwnRuntime(request.runtime, parts);
      parts.assertOpen('push an image');
      return await pushImage(parts, record.id, request, tell);
    });
  }

  /**
   * An archive of it with all its names, for `load`, `docker load`, `podman load`, `skopeo` and others. The same image is the same
   * bytes, always. Nothing begins before it is read; the image cannot be removed meanwhile.
   *
   * The stream fails with {@link CaissonError} `ERR_INVALID_ARGUMENT`; `ERR_IMAGE_NOT_FOUND` when the image was removed;
   * `ERR_STORE_CORRUPT` when a layer is damaged; `ERR_UNSUPPORTED` for zstd layers in Docker's form where Node has no zstd
   * (before 22.15); `ERR_RUNTIME_CLOSED`.
   *
   * @example
   * ```ts
   * await pipeline(image.save(), createWriteStream('image.tar'));
   * ```
   */
  save(options?: SaveImageOptions): Readable {
    const archive = async function* (image: Image): AsyncGenerator<Uint8Array> {
      const format = parseSave(options);
      const { parts, record } = image.#stored('save');
      yield* saveImage(parts, record.id, format);
    };
    return Readable.from(archive(this), { objectMode: false });
  }

  /**
   * All that is known about it now, as plain data.
   *
   * @throws {@link CaissonError} `ERR_IMAGE_NOT_FOUND` when it was removed; `ERR_RUNTIME_CLOSED`
   */
  async inspect(): Promise<ImageInfo> {
    const { parts, record } = this.#stored('inspect');
    parts.assertOpen('inspect an image');
    return await inspectImage(parts, record.id);
  }

  /**
   * How it was made, newest step first, as its configuration tells it.
   *
   * @throws {@link CaissonError} `ERR_RUNTIME_CLOSED`
   */
  async history(): Promise<Layer[]> {
    const { parts, record } = this.#stored('history');
    parts.assertOpen('read the history of an image');
    return await historyOf(parts.store, record);
  }

  /**
   * Removes it with all its names, and the layers that no other image and no container uses.
   *
   * @throws {@link CaissonError} `ERR_IMAGE_IN_USE`, with the names of the containers; `ERR_IMAGE_NOT_FOUND` when it
   * was removed before; `ERR_RUNTIME_CLOSED`
   */
  async remove(options?: RemoveImageOptions): Promise<void> {
    const request = parseRemove(options);
    const { parts, record } = this.#stored('remove');
    parts.assertOpen('remove an image');
    await removeImage(parts, record.id, request);
    this.#tags = [];
  }

  #stored(verb: string): Extract<ImageSource, { kind: 'stored' }> {
    if (this.#source.kind === 'stored') return this.#source;
    throw new CaissonError('ERR_UNSUPPORTED', {
      what: `${verb}() of Image.host()`,
      reason: 'it is this machine itself, not an image of the store',
    });
  }
}

const stored = (parts: RuntimeParts, record: ImageRecord): Image =>
  new Image({ kind: 'stored', parts, record });
