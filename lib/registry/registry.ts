import { checkName } from '../errors/arguments.js';
import { throwIfAborted } from '../errors/index.js';
import type { Auth } from '../runtime/options.js';
import { partsOf } from '../runtime/runtime.js';
import { invalidAnswer, parseObject } from './answer.js';
import type { RegistryClient } from './client.js';
import { DockerConfig } from './docker-config.js';
import type { Referrer } from './listing.js';
import type {
  ConfigOptions,
  ReferrersOptions,
  RegistryCall,
  RegistryImage,
  RegistryManifest,
  RegistryOptions,
  SearchOptions,
} from './options.js';
import { Registries, registriesOf } from './registries.js';
import {
  checkDigest,
  parseCall,
  parseConfig,
  parseLogin,
  parseNamed,
  parseOpen,
  parseReferrers,
  parseRepository,
  parseSearch,
} from './request.js';
import { resolveManifest } from './resolve.js';
import type { SearchResult } from './search.js';

/**
 * A registry of images: what it has, without pulling it. Needs no Runtime, and does nothing before it is first asked.
 *
 * Credentials are those of `auth`, or what `login` and `docker login` have stored; they go to the registry, and to its
 * own token server. Each call may fail with `ERR_REGISTRY_DENIED`, `ERR_REGISTRY_FAILED`, `ERR_REGISTRY_UNREACHABLE`,
 * `ERR_REGISTRY_INVALID`, `ERR_CREDENTIALS_FAILED`; what is temporary is tried again first.
 *
 * @example
 * ```ts
 * await using registry = new Registry('registry.example:5000');
 * for await (const tag of registry.tags('team/app')) console.log(tag);
 * ```
 */
export class Registry implements AsyncDisposable {
  /** As in names of images. */
  readonly host: string;
  readonly #own: Registries | undefined;
  readonly #runtime: unknown;

  /**
   * @param host - Host and port as in names of images: `docker.io`, `registry.example:5000`.
   * @throws {@link CaissonError} `ERR_INVALID_ARGUMENT`
   */
  constructor(host: string, options?: RegistryOptions) {
    const request = parseOpen(host, options);
    this.host = request.host;
    this.#runtime = request.runtime;
    this.#own = request.settings === undefined ? undefined : new Registries([request.settings]);
  }

  /** Resolves when it is a registry, and takes the credentials that there are, if it wants any. */
  async ping(options?: RegistryCall): Promise<void> {
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    await client.ping({ signal });
  }

  /** Names of its repositories. Many registries deny it. */
  async *catalog(options?: RegistryCall): AsyncGenerator<string, void, undefined> {
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    yield* client.catalog({ signal });
  }

  /** Tags of a repository, in the registry's order. */
  async *tags(repository: string, options?: RegistryCall): AsyncGenerator<string, void, undefined> {
    const path = parseRepository(this.host, repository);
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    yield* client.tags(path, { signal });
  }

  /**
   * What a name says, of any type: an image's manifest, an index, an artifact. Its digest is right.
   *
   * @param name - Without the registry: `team/app`, `team/app:1.2`, `team/app@sha256:…`.
   * @throws {@link CaissonError} `ERR_MANIFEST_NOT_FOUND`, `ERR_DIGEST_MISMATCH`
   */
  async manifest(name: string, options?: RegistryCall): Promise<RegistryManifest> {
    const { repository, reference } = parseNamed(this.host, name);
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    const { mediaType, digest, bytes } = await client.manifest(repository, reference, { signal });
    const where = { registry: this.host, action: `pull ${name}` };
    return { mediaType, digest, bytes, document: parseObject(where, bytes) };
  }

  /**
   * The configuration of an image: what it runs, and for which platform.
   *
   * @param name - As for `manifest`.
   * @throws {@link CaissonError} `ERR_MANIFEST_NOT_FOUND`, `ERR_PLATFORM_NOT_FOUND`, `ERR_DIGEST_MISMATCH`,
   * `ERR_IMAGE_INVALID`; `ERR_UNSUPPORTED` for what is no image
   */
  async config(name: string, options?: ConfigOptions): Promise<RegistryImage> {
    const { repository, reference } = parseNamed(this.host, name);
    const { signal, platform } = parseConfig(options);
    const client = await this.#client(signal);
    const found = await resolveManifest(client, repository, reference, platform, signal);
    const { config, layers } = found.image;
    const bytes = await client.smallBlob(repository, config, { signal });
    const where = { registry: this.host, action: `pull ${name}` };
    const document = parseObject(where, bytes);
    const { os, architecture, variant } = document;
    if (typeof os !== 'string' || typeof architecture !== 'string') {
      throw invalidAnswer(where, 'the configuration has no os and architecture');
    }
    return {
      id: config.digest,
      digest: found.manifest.digest,
      platform: { os, architecture, ...(typeof variant === 'string' && variant && { variant }) },
      sizeBytes: layers.reduce((sum, { size }) => sum + size, 0),
      document,
    };
  }

  /** What says that it belongs to a manifest: signatures, attestations, SBOMs. */
  async *referrers(
    repository: string,
    digest: string,
    options?: ReferrersOptions,
  ): AsyncGenerator<Referrer, void, undefined> {
    const path = parseRepository(this.host, repository);
    const subject = checkDigest(digest, 'digest');
    const { signal, artifactType } = parseReferrers(options);
    const client = await this.#client(signal);
    yield* client.referrers(path, subject, { signal, artifactType });
  }

  /**
   * Deletes a manifest with all its tags (`app@sha256:…`), or one tag (`app:old`), which not every registry can. What it
   * was made of goes when the registry next cleans up.
   *
   * @throws {@link CaissonError} `ERR_MANIFEST_NOT_FOUND`; `ERR_REGISTRY_FAILED` with status 405 where deletion is off,
   * 400 or 405 where tags cannot be deleted alone
   */
  async delete(name: string, options?: RegistryCall): Promise<void> {
    const { repository, reference } = parseNamed(this.host, name, 'must-say');
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    await client.delete(repository, reference, { signal });
  }

  /** Repositories that match a word; Docker Hub has it, and few others. */
  async search(term: string, options?: SearchOptions): Promise<SearchResult[]> {
    const word = checkName(term, 'term');
    const { signal, limit } = parseSearch(options);
    const client = await this.#client(signal);
    return await client.search(word, { signal, limit });
  }

  /**
   * Sees whether the registry takes the credentials, and stores them as `docker login` does: with the helper that Docker's
   * `config.json` names, else in that file, which only its owner can read. Where the registry gives an identity token, that
   * is stored and the password is not.
   *
   * @returns Where they are stored: the file, or the helper's name.
   * @throws {@link CaissonError} `ERR_REGISTRY_DENIED` when they are wrong
   */
  async login(auth: Auth, options?: RegistryCall): Promise<string> {
    const credentials = parseLogin(auth);
    const { signal } = parseCall(options);
    const client = await this.#client(signal, credentials);
    const kept = await client.verify({ signal });
    const place = await new DockerConfig().store(client.server, kept ?? credentials, signal);
    (await this.#client(signal)).forgetCredentials();
    return place;
  }

  /**
   * Forgets what is stored for it, and uses it no more; a Runtime that this is not of goes on with what it has read until
   * that is refused. False when nothing was stored.
   */
  async logout(options?: RegistryCall): Promise<boolean> {
    const { signal } = parseCall(options);
    const client = await this.#client(signal);
    const known = await new DockerConfig().erase(client.server, signal);
    client.forgetCredentials();
    return known;
  }

  /** Ends its connections, which do not keep the program alive and end by themselves some seconds later. */
  async close(): Promise<void> {
    await this.#own?.close();
  }

  /** `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #client(signal: AbortSignal | undefined, auth?: Auth): Promise<RegistryClient> {
    throwIfAborted(signal);
    const all = this.#own ?? registriesOf(await partsOf(this.#runtime, 'ask a registry'));
    return all.client(this.host, auth);
  }
}
