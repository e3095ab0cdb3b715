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
import { documentOf, parseImageDocument } from './documents.js';
import { layersOf, makeLayers, type LayerStatus } from './layers.js';
import type { Tell } from './operation.js';
import { findByReference } from './find.js';
import { addImage, type ImageRecord } from './records.js';
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
    const { reference, signal } = this.#request;
    const { domain, path, tag, digest } = reference;
    const asked = digest ?? tag ?? 'latest';
    const found = await resolveManifest(this.#client, path, asked, this.#wanted, signal);
    const { layers } = found.image;
    const config = documentOf(
      found.image.config.mediaType,
      await this.#client.smallBlob(path, found.image.config, { signal }),
    );
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
        manifest: documentOf(found.image.mediaType, found.manifest.bytes),
        config,
        ...layersOf(made),
        // Beside a digest a tag is a word for people: what it names by now is another matter.
        names:
          tag === undefined || digest !== undefined ? [] : [formatReference({ domain, path, tag })],
        source: formatReference({ domain, path, digest: found.named.digest }),
      });
      this.#parts.emit({ type: 'image.pull', id: record.id, time: new Date() });
      return record;
    } finally {
      lease.release();
    }
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
