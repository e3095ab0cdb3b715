import { CaissonError } from '../errors/index.js';
import { MAX_DOCUMENT_BYTES } from '../store/documents.js';
import type { Descriptor, Digest } from '../store/images.js';
import { discard, type Attempt } from './answer.js';
import { repositoryScope } from './authorizer.js';
import { digestOf, isDigest } from '../store/digest.js';
import type { RegistryHost } from './host.js';
import { ACCEPT } from './manifest.js';
import { headerOf, type Answer } from './transport.js';

export interface FetchedManifest {
  /** As the registry's header says; empty where it said nothing. */
  readonly mediaType: string;
  /** Of `bytes`, computed. */
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** One manifest on one server. */
export interface ManifestAt {
  readonly host: RegistryHost;
  /** The server, for errors. */
  readonly registry: string;
  /** All of it, for errors: `registry.example/app:1`. */
  readonly name: string;
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string;
  readonly signal?: AbortSignal | undefined;
}

/** What has a digest in its name has that digest. */
export async function fetchManifest(at: ManifestAt): Promise<FetchedManifest> {
  const attempt = attemptOf(at, 'pull');
  const answer = await ask(at, 'GET', attempt);
  const bytes = answer.bytes ?? Buffer.alloc(0);
  const digest = digestOf(bytes);
  const said = isDigest(at.reference) ? at.reference : headerOf(answer, 'docker-content-digest');
  if (isDigest(said)) checkDigest(said, digest);
  return { mediaType: headerOf(answer, 'content-type') ?? '', digest, bytes };
}

/** Undefined where the answer does not say it all. */
export async function headManifest(at: ManifestAt): Promise<Descriptor | undefined> {
  const answer = await ask(at, 'HEAD', attemptOf(at, 'pull'));
  discard(answer.body);
  const digest = headerOf(answer, 'docker-content-digest');
  const size = Number(headerOf(answer, 'content-length') ?? Number.NaN);
  if (!isDigest(digest) || !Number.isSafeInteger(size)) return undefined;
  return { mediaType: headerOf(answer, 'content-type') ?? '', digest, size };
}

async function ask(at: ManifestAt, method: 'GET' | 'HEAD', attempt: Attempt): Promise<Answer> {
  const { host, repository, reference, signal } = at;
  const path = `${host.endpoint.prefix}${repository}`;
  const answer = await host.send({
    method,
    to: `${path}/manifests/${reference}`,
    headers: { accept: ACCEPT },
    scopes: [repositoryScope(path, 'pull')],
    attempt,
    signal,
    ...(method === 'GET' && { atMost: MAX_DOCUMENT_BYTES }),
  });
  if (answer.status === 200) return answer;
  throw await host.refusal(attempt, answer);
}

export async function putManifest(
  at: ManifestAt,
  { mediaType, bytes }: Pick<FetchedManifest, 'mediaType'> & { readonly bytes: Uint8Array },
): Promise<Digest> {
  const { host, repository, reference, signal } = at;
  const { registry, action } = attemptOf(at, 'push');
  const attempt = { registry, action };
  const answer = await host.send({
    method: 'PUT',
    to: `${repository}/manifests/${reference}`,
    headers: { 'content-type': mediaType },
    body: bytes,
    scopes: [repositoryScope(repository, 'pull', 'push')],
    attempt,
    signal,
  });
  if (![200, 201, 202, 204].includes(answer.status)) throw await host.refusal(attempt, answer);
  discard(answer.body);
  const digest = digestOf(bytes);
  const found = headerOf(answer, 'docker-content-digest');
  if (isDigest(found)) checkDigest(digest, found);
  return digest;
}

/** By digest: with all its tags. By tag: that one alone, where the registry can. */
export async function deleteManifest(at: ManifestAt): Promise<void> {
  const { host, repository, reference, signal } = at;
  const attempt = attemptOf(at, 'delete');
  const send = async (...actions: string[]): Promise<Answer> =>
    await host.send({
      method: 'DELETE',
      to: `${repository}/manifests/${reference}`,
      scopes: [repositoryScope(repository, ...actions)],
      attempt,
      signal,
    });
  const answer = await send('pull', 'push', 'delete').catch(async (error: unknown) => {
    // Some token servers know no such right.
    if (!CaissonError.is(error, 'ERR_REGISTRY_DENIED')) throw error;
    return await send('pull', 'push');
  });
  if (answer.status >= 300) throw await host.refusal(attempt, answer);
  discard(answer.body);
}

const attemptOf = ({ registry, name }: ManifestAt, verb: string): Attempt => ({
  registry,
  action: `${verb} ${name}`,
  reference: name,
});

function checkDigest(expected: Digest, found: Digest): void {
  if (expected === found) return;
  throw new CaissonError('ERR_DIGEST_MISMATCH', { what: 'a manifest', expected, found });
}
