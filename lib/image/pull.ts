import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RegistryClient } from '../registry/client.js';
import {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  normalizePlatform,
} from '../registry/platform.js';
import { formatReference, type Reference } from '../registry/reference.js';
import { registriesOf } from '../registry/registries.js';
import { resolveManifest } from '../registry/resolve.js';
import type { Auth } from '../runtime/options.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { hexOf } from '../store/digest.js';
import type { Descriptor, Digest, Platform } from '../store/images.js';
import { holdComing } from './coming.js';
import { documentOf, parseImageDocument, parseImageManifest, type Document } from './documents.js';
import { layersOf, makeLayers, type LayerStatus } from './layers.js';
import type { Tell } from './operation.js';
import { findByReference, formsFrom, isKnownAs } from './find.js';
import { addImage, storedDocument, type ImageRecord } from './records.js';
import type { CallRequest } from './request.js';

/** How far one layer is. */
export interface PullEvent {
  /** The first digits of its digest, as people know them. */
  readonly layer: string;
  readonly digest: Digest;
  readonly status: LayerStatus;
  /** Of its blob, which is compressed. */
  readonly currentBytes: number;
  readonly totalBytes: number;
}

export type PullPolicy = 'missing' | 'always' | 'never';

export interface PullRequest extends CallRequest {
  readonly reference: Reference;
  /** Absent: this machine's. */
  readonly platform: Platform | undefined;
  readonly policy: PullPolicy;
  readonly auth: Auth | undefined;
}

/** The image of that name, from its registry unless the policy says that the one that is here does. */
export async function pullImage(
  parts: RuntimeParts,
  request: PullRequest,
  tell: Tell<PullEvent>,
): Promise<ImageRecord> {
  const { reference, platform, policy, signal } = request;
  throwIfAborted(signal);
  if (policy !== 'always') {
    const here = await findByReference(parts.store, reference, platform);
    if (here !== undefined) return here;
    if (policy === 'never') {
      throw new CaissonError('ERR_IMAGE_NOT_FOUND', { reference: formatReference(reference) });
    }
  }
  const work = new Pull(parts, request, tell).run();
  return await parts.supervisor.keepAlive(work);
}

/** An image by its documents, whose layers may not be here yet. */
interface Found {
  readonly manifest: Document;
  readonly config: Document;
  /** What the name says: the digest of the manifest, or of an index that has it. */
  readonly named: Digest;
}

/** A registry without HEAD; what is here is damaged. */
const ASKED_IN_FULL = [
  'ERR_REGISTRY_FAILED',
  'ERR_MANIFEST_NOT_FOUND',
  'ERR_STORE_CORRUPT',
] as const;

class Pull {
  readonly #parts: RuntimeParts;
  readonly #request: PullRequest;
  readonly #tell: Tell<PullEvent>;
  readonly #client: RegistryClient;
  /** For people. */
  readonly #name: string;

  constructor(parts: RuntimeParts, request: PullRequest, tell: Tell<PullEvent>) {
    this.#parts = parts;
    this.#request = request;
    this.#tell = tell;
    this.#client = registriesOf(parts).client(request.reference.domain, request.auth);
    this.#name = formatReference(request.reference);
  }

  async run(): Promise<ImageRecord> {
    const { reference, policy, signal } = this.#request;
    const { domain, path, tag, digest } = reference;
    // What is missing has nothing to be compared with, but for other names of its repository.
    const known = policy === 'always' ? await this.#unchanged() : undefined;
    const { manifest, config, named } = known ?? (await this.#asked());
    const { layers } = parseImageManifest(manifest, this.#name);
    const image = parseImageDocument(config.bytes, layers.length, this.#name);
    this.#checkPlatform(image.platform);

    const wanted = layers.map((descriptor, i) => ({
      descriptor,
      diffId: image.diffIds[i] ?? descriptor.digest,
    }));
    const lease = await holdComing(this.#parts, wanted);
    try {
      const made = await makeLayers(this.#parts, {
        wanted,
        fetch: (blob, sink, stop) => this.#client.fetchBlob(path, blob, sink, { signal: stop }),
        tell: ({ descriptor }, status, bytes) => this.#progress(descriptor, status, bytes),
        reference: this.#name,
        signal,
      });
      const record = await addImage(this.#parts.store, {
        manifest,
        config,
        ...layersOf(made),
        // Beside a digest a tag is a word for people: what it names by now is another matter.
        names:
          tag === undefined || digest !== undefined ? [] : [formatReference({ domain, path, tag })],
        source: formatReference({ domain, path, digest: named }),
      });
      this.#parts.emit({ type: 'image.pull', id: record.id, time: new Date() });
      return record;
    } finally {
      lease.release();
    }
  }

  /** What the name says by now. */
  async #asked(): Promise<Found> {
    const { path } = this.#request.reference;
    const { signal } = this.#request;
    const found = await resolveManifest(this.#client, path, this.#said, this.#wanted, signal);
    const { config } = found.image;
    return {
      manifest: documentOf(found.image.mediaType, found.manifest.bytes),
      config: documentOf(config.mediaType, await this.#client.smallBlob(path, config, { signal })),
      named: found.named.digest,
    };
  }

  /**
   * What is here, when the name says by now what it said when that came. HEAD is enough to know, which registries do not
   * count as a pull (docs.docker.com/docker-hub/usage).
   */
  async #unchanged(): Promise<Found | undefined> {
    const { store } = this.#parts;
    const { domain, path } = this.#request.reference;
    const repository = formatReference({ domain, path });
    const forms = await formsFrom(store, repository, this.#wanted);
    if (forms.length === 0) return undefined;
    const { signal } = this.#request;
    try {
      const { digest: named } = await this.#client.head(path, this.#said, { signal });
      const form = forms.find((one) => isKnownAs(one, repository, named));
      if (form === undefined) return undefined;
      const manifest = await storedDocument(store, form.manifest);
      const { config } = parseImageManifest(manifest, this.#name);
      return { manifest, config: await storedDocument(store, config), named };
    } catch (error) {
      if (ASKED_IN_FULL.some((code) => CaissonError.is(error, code))) return undefined;
      throw error;
    }
  }

  /** A tag or a digest. */
  get #said(): string {
    const { digest, tag } = this.#request.reference;
    return digest ?? tag ?? 'latest';
  }

  get #wanted(): Platform {
    return this.#request.platform ?? hostPlatform();
  }

  #otherPlatform(available: readonly Platform[]): CaissonError {
    return new CaissonError('ERR_PLATFORM_NOT_FOUND', {
      reference: this.#name,
      platform: formatPlatform(this.#wanted),
      available: [...new Set(available.map((one) => formatPlatform(normalizePlatform(one))))],
    });
  }

  /** What was asked for must be had; what was not may be whatever there is, and runs where binfmt_misc(5) helps. */
  #checkPlatform(platform: Platform): void {
    const found = normalizePlatform(platform);
    if (choosePlatform([{ platform: found }], this.#wanted) === undefined) {
      if (this.#request.platform !== undefined || found.os !== 'linux') {
        throw this.#otherPlatform([found]);
      }
    }
    if (choosePlatform([{ platform: found }], hostPlatform()) !== undefined) return;
    process.emitWarning(
      `${this.#name} is made for ${formatPlatform(found)}: it runs here only with an emulator that binfmt_misc knows`,
      { type: 'CaissonWarning', code: 'CAISSON_FOREIGN_PLATFORM' },
    );
  }

  #progress({ digest, size }: Descriptor, status: LayerStatus, bytes: number): void {
    const layer = hexOf(digest).slice(0, 12);
    this.#tell(digest, { layer, digest, status, currentBytes: bytes, totalBytes: size });
  }
}
