import { CaissonError } from '../errors/index.js';
import type { BlobSink } from '../store/blobs.js';
import type { Descriptor, Digest } from '../store/images.js';
import { discard, invalidAnswer, readBody, type Attempt } from './answer.js';
import { repositoryScope } from './authorizer.js';
import { digestOf, isDigest } from './digest.js';
import { download, isMirrorFailure } from './download.js';
import type { RegistryHost } from './host.js';
import { ACCEPT } from './manifest.js';
import { headerOf, type Answer } from './transport.js';

const MAX_MANIFEST_BYTES = 4 << 20;

export interface FetchedManifest {
  /** As the registry's header says; empty where it said nothing. */
  readonly mediaType: string;
  /** Of `bytes`, computed. */
  readonly digest: Digest;
  readonly bytes: Buffer;
}

interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** What one registry has, by the names of its repositories (`library/alpine`). Mirrors are asked first, for reading. */
export class RegistryClient {
  /** As names of images have it. */
  readonly domain: string;
  readonly #mirrors: readonly RegistryHost[];
  readonly #origin: RegistryHost;

  constructor(domain: string, mirrors: readonly RegistryHost[], origin: RegistryHost) {
    this.domain = domain;
    this.#mirrors = mirrors;
    this.#origin = origin;
  }

  /**
   * A manifest or an index, whole: what has a digest in its name has that digest.
   *
   * @param reference - A tag or a digest.
   * @throws {@link CaissonError} `ERR_MANIFEST_NOT_FOUND`, `ERR_REGISTRY_DENIED`, `ERR_REGISTRY_FAILED`,
   * `ERR_REGISTRY_UNREACHABLE`, `ERR_REGISTRY_INVALID`, `ERR_DIGEST_MISMATCH`, `ERR_CREDENTIALS_FAILED`
   */
  async manifest(
    repository: string,
    reference: string,
    { accept = ACCEPT, signal }: Abortable & { readonly accept?: string } = {},
  ): Promise<FetchedManifest> {
    return await this.#reading(async (host) => {
      const attempt = this.#pulling(host, repository, reference);
      const answer = await this.#askManifest(
        host,
        'GET',
        repository,
        reference,
        accept,
        attempt,
        signal,
      );
      const bytes = await readBody(attempt, answer, MAX_MANIFEST_BYTES);
      const digest = digestOf(bytes);
      const said = isDigest(reference) ? reference : headerOf(answer, 'docker-content-digest');
      if (isDigest(said) && said !== digest) {
        const details = { what: 'a manifest', expected: said, found: digest };
        throw new CaissonError('ERR_DIGEST_MISMATCH', details);
      }
      return { mediaType: headerOf(answer, 'content-type') ?? '', digest, bytes };
    });
  }

  /** What a tag or a digest names now, without fetching it: free where fetching counts. */
  async head(
    repository: string,
    reference: string,
    { accept = ACCEPT, signal }: Abortable & { readonly accept?: string } = {},
  ): Promise<Descriptor> {
    const said = await this.#reading(async (host) => {
      const attempt = this.#pulling(host, repository, reference);
      const answer = await this.#askManifest(
        host,
        'HEAD',
        repository,
        reference,
        accept,
        attempt,
        signal,
      );
      discard(answer.body);
      return {
        mediaType: headerOf(answer, 'content-type') ?? '',
        digest: headerOf(answer, 'docker-content-digest'),
        size: Number(headerOf(answer, 'content-length') ?? Number.NaN),
      };
    });
    const { mediaType, digest, size } = said;
    if (isDigest(digest) && Number.isSafeInteger(size)) return { mediaType, digest, size };
    const fetched = await this.manifest(repository, reference, { accept, signal });
    return { mediaType: fetched.mediaType, digest: fetched.digest, size: fetched.bytes.length };
  }

  /**
   * Brings a blob into `sink`, from where that is. Whatever becomes of it, what `sink` has is the beginning of what
   * servers sent as this blob: its digest is the caller's to check.
   *
   * @throws {@link CaissonError} as `manifest`, and what `sink` throws
   */
  async fetchBlob(
    repository: string,
    blob: Descriptor,
    sink: BlobSink,
    { signal, onBytes }: Abortable & { readonly onBytes?: (total: number) => void } = {},
  ): Promise<void> {
    if (!isDigest(blob.digest)) throw invalidAnswer({ registry: this.domain }, 'no digest');
    const scopes = [repositoryScope(repository, 'pull')];
    await this.#reading(async (host) => {
      const attempt = { registry: this.#nameOf(host), action: `pull ${repository}` };
      await download(sink, { host, repository, blob, scopes, attempt, signal, onBytes });
    });
  }

  /** Of each server in turn, until one has it. The registry's own failure is the one that counts. */
  async #reading<T>(read: (host: RegistryHost) => Promise<T>): Promise<T> {
    for (const mirror of this.#mirrors) {
      try {
        return await read(mirror);
      } catch (error) {
        if (!isMirrorFailure(error)) throw error;
      }
    }
    return await read(this.#origin);
  }

  async #askManifest(
    host: RegistryHost,
    method: 'GET' | 'HEAD',
    repository: string,
    reference: string,
    accept: string,
    attempt: Attempt,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const path = `${host.endpoint.prefix}${repository}`;
    const answer = await host.send({
      method,
      to: `${path}/manifests/${reference}`,
      headers: { accept },
      scopes: [repositoryScope(path, 'pull')],
      attempt,
      signal,
    });
    if (answer.status === 200) return answer;
    throw await host.refusal(attempt, answer);
  }

  #pulling(host: RegistryHost, repository: string, reference: string): Attempt {
    const named = `${this.domain}/${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
    return { registry: this.#nameOf(host), action: `pull ${named}`, reference: named };
  }

  /** A mirror is named by where it is. */
  #nameOf(host: RegistryHost): string {
    return host === this.#origin ? this.domain : host.endpoint.host;
  }
}
