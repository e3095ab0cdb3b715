import { CaissonError } from '../errors/index.js';
import type { Auth } from '../runtime/options.js';
import type { BlobSink } from '../store/blobs.js';
import { MAX_DOCUMENT_BYTES } from '../store/documents.js';
import type { Descriptor, Digest } from '../store/images.js';
import { discard, invalidAnswer } from './answer.js';
import { repositoryScope } from './authorizer.js';
import { digestOf, isDigest } from '../store/digest.js';
import { download, isMirrorFailure } from './download.js';
import type { RegistryHost } from './host.js';
import { catalog, referrers, tags, type Referrer } from './listing.js';
import {
  deleteManifest,
  fetchManifest,
  headManifest,
  putManifest,
  type FetchedManifest,
  type ManifestAt,
} from './manifests.js';
import { search, type SearchResult } from './search.js';
import { hasBlob, mount, upload, type BlobSource, type Upload } from './upload.js';

export type { FetchedManifest } from './manifests.js';
export type { BlobSource } from './upload.js';

interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** Who answers for a registry. */
interface Hosts {
  /** Asked first, for reading. */
  readonly mirrors: readonly RegistryHost[];
  readonly origin: RegistryHost;
  readonly search: RegistryHost;
}

/**
 * What one registry has, by the names of its repositories (`library/alpine`).
 *
 * Each call may fail with {@link CaissonError} `ERR_REGISTRY_DENIED`, `ERR_REGISTRY_FAILED`, `ERR_REGISTRY_UNREACHABLE`,
 * `ERR_REGISTRY_INVALID`, `ERR_DIGEST_MISMATCH`, `ERR_CREDENTIALS_FAILED`; what names a manifest also with
 * `ERR_MANIFEST_NOT_FOUND`.
 */
export class RegistryClient {
  /** As names of images have it. */
  readonly domain: string;
  readonly #mirrors: readonly RegistryHost[];
  readonly #origin: RegistryHost;
  readonly #search: RegistryHost;

  constructor(domain: string, { mirrors, origin, search }: Hosts) {
    this.domain = domain;
    this.#mirrors = mirrors;
    this.#origin = origin;
    this.#search = search;
  }

  /** A manifest or an index, whole. @param reference - A tag or a digest. */
  async manifest(
    repository: string,
    reference: string,
    { signal }: Abortable = {},
  ): Promise<FetchedManifest> {
    return await this.#reading(
      async (host) => await fetchManifest(this.#at(host, repository, reference, signal)),
    );
  }

  /** What a tag or a digest names now, without fetching it: free where fetching counts. */
  async head(
    repository: string,
    reference: string,
    { signal }: Abortable = {},
  ): Promise<Descriptor> {
    const said = await this.#reading(
      async (host) => await headManifest(this.#at(host, repository, reference, signal)),
    );
    if (said !== undefined) return said;
    const { mediaType, digest, bytes } = await this.manifest(repository, reference, { signal });
    return { mediaType, digest, size: bytes.length };
  }

  /**
   * Brings a blob into `sink`, from where that is. Whatever becomes of it, what `sink` has is the beginning of what
   * servers sent as this blob: its digest is the caller's to check.
   */
  async fetchBlob(
    repository: string,
    blob: Descriptor,
    sink: BlobSink,
    { signal, onBytes }: Abortable & { readonly onBytes?: (total: number) => void } = {},
  ): Promise<void> {
    if (!isDigest(blob.digest)) throw invalidAnswer({ registry: this.domain }, 'no digest');
    await this.#reading(async (host) => {
      const scopes = [repositoryScope(`${host.endpoint.prefix}${repository}`, 'pull')];
      const attempt = { registry: this.#nameOf(host), action: `pull ${repository}` };
      await download(sink, { host, repository, blob, scopes, attempt, signal, onBytes });
    });
  }

  /** A small blob as a whole: its size and digest are right. */
  async smallBlob(
    repository: string,
    blob: Descriptor,
    { signal }: Abortable = {},
  ): Promise<Buffer> {
    if (blob.size > MAX_DOCUMENT_BYTES) {
      throw invalidAnswer({ registry: this.domain }, `a configuration of ${blob.size} bytes`);
    }
    const sink = new MemorySink();
    await this.fetchBlob(repository, blob, sink, { signal });
    const bytes = Buffer.concat(sink.chunks);
    const found = digestOf(bytes);
    if (found === blob.digest) return bytes;
    throw new CaissonError('ERR_DIGEST_MISMATCH', { what: 'a blob', expected: blob.digest, found });
  }

  /**
   * Sees to it that the registry has the blob: it may have it already, or take it from `mountFrom`, another of its
   * repositories. What the blob's own stream throws is thrown as it is.
   */
  async pushBlob(
    repository: string,
    blob: BlobSource,
    {
      mountFrom,
      signal,
      onBytes,
    }: Abortable & {
      readonly mountFrom?: string | undefined;
      readonly onBytes?: ((total: number) => void) | undefined;
    } = {},
  ): Promise<'exists' | 'mounted' | 'uploaded'> {
    const scopes = [repositoryScope(repository, 'pull', 'push')];
    const attempt = { registry: this.domain, action: `push ${repository}` };
    const task: Upload = { host: this.#origin, repository, blob, scopes, attempt, signal, onBytes };
    if (await hasBlob(task)) return 'exists';
    const begun =
      mountFrom === undefined || mountFrom === repository
        ? undefined
        : await mount(task, mountFrom, [...scopes, repositoryScope(mountFrom, 'pull')]);
    if (begun === 'mounted') return begun;
    await upload(task, begun);
    return 'uploaded';
  }

  /** Puts a manifest or an index, whose blobs and manifests are there already. */
  async pushManifest(
    repository: string,
    reference: string,
    manifest: Pick<FetchedManifest, 'mediaType'> & { readonly bytes: Uint8Array },
    { signal }: Abortable = {},
  ): Promise<Digest> {
    return await putManifest(this.#at(this.#origin, repository, reference, signal), manifest);
  }

  /** Deletes a manifest with all its tags; by its tag that one alone, where the registry can. */
  async delete(repository: string, reference: string, { signal }: Abortable = {}): Promise<void> {
    await deleteManifest(this.#at(this.#origin, repository, reference, signal));
  }

  /** Names of repositories. */
  catalog(options: Abortable = {}): AsyncIterable<string> {
    return catalog(this.#origin, this.domain, options);
  }

  tags(repository: string, options: Abortable = {}): AsyncIterable<string> {
    return tags(this.#origin, this.domain, repository, options);
  }

  /** What says that it belongs to a manifest. */
  referrers(
    repository: string,
    digest: Digest,
    options: Abortable & { readonly artifactType?: string | undefined } = {},
  ): AsyncIterable<Referrer> {
    return referrers(this.#origin, this.domain, repository, digest, options);
  }

  async search(
    term: string,
    options: Abortable & { readonly limit: number },
  ): Promise<SearchResult[]> {
    return await search(this.#search, this.domain, term, options);
  }

  /** Whether it is a registry, and takes the credentials that there are. */
  async ping({ signal }: Abortable = {}): Promise<void> {
    const attempt = { registry: this.domain, action: 'ask whether it is a registry' };
    const answer = await this.#origin.send({ method: 'GET', to: '', scopes: [], attempt, signal });
    if (answer.status !== 200) throw await this.#origin.refusal(attempt, answer);
    discard(answer.body);
  }

  /** As `ping`. Resolves with what is worth keeping of the credentials: an identity token, where the registry gives one. */
  async verify({ signal }: Abortable = {}): Promise<Auth | undefined> {
    await this.ping({ signal });
    const attempt = { registry: this.domain, action: 'log in' };
    return await this.#origin.authorizer.toKeep(attempt, signal);
  }

  /** Looks anew for the credentials that are stored. */
  forgetCredentials(): void {
    for (const host of new Set([this.#origin, this.#search])) host.authorizer.forgetAll();
  }

  /** Under which name its credentials are stored. */
  get server(): string {
    return this.#origin.endpoint.server;
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

  #at(
    host: RegistryHost,
    repository: string,
    reference: string,
    signal: AbortSignal | undefined,
  ): ManifestAt {
    const name = `${this.domain}/${repository}${isDigest(reference) ? '@' : ':'}${reference}`;
    return { host, registry: this.#nameOf(host), name, repository, reference, signal };
  }

  /** A mirror is named by where it is. */
  #nameOf(host: RegistryHost): string {
    return this.#mirrors.includes(host) ? host.endpoint.host : this.domain;
  }
}

class MemorySink implements BlobSink {
  readonly chunks: Uint8Array[] = [];
  offset = 0;

  write(chunk: Uint8Array): Promise<void> {
    this.chunks.push(chunk);
    this.offset += chunk.length;
    return Promise.resolve();
  }

  restart(): Promise<void> {
    this.chunks.length = 0;
    this.offset = 0;
    return Promise.resolve();
  }
}
