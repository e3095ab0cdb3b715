import { CaissonError } from '../errors/index.js';
import { MEDIA_TYPES, type Descriptor, type Digest } from '../store/images.js';
import { discard, invalidAnswer, parseObject, type Attempt } from './answer.js';
import { repositoryScope } from './authorizer.js';
import { nextUrl, type RegistryHost } from './host.js';
import { parseManifest } from './manifest.js';
import { isRepository, isTag } from './reference.js';
import { headerOf, type Answer } from './transport.js';

/** As many as any registry gives at once. */
const PAGE = 1000;
const MAX_PAGE_BYTES = 8 << 20;

interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** Names of repositories, page by page. */
export async function* catalog(
  host: RegistryHost,
  registry: string,
  { signal }: Abortable,
): AsyncGenerator<string, void, undefined> {
  const attempt = { registry, action: 'list repositories' };
  const scopes = ['registry:catalog:*'];
  yield* names(host, '_catalog', 'repositories', isRepository, { scopes, attempt, signal });
}

export async function* tags(
  host: RegistryHost,
  registry: string,
  repository: string,
  { signal }: Abortable,
): AsyncGenerator<string, void, undefined> {
  const attempt = { registry, action: `list tags of ${repository}` };
  const scopes = [repositoryScope(repository, 'pull')];
  yield* names(host, `${repository}/tags/list`, 'tags', isTag, { scopes, attempt, signal });
}

type Asking = Pick<Parameters<RegistryHost['send']>[0], 'scopes' | 'attempt' | 'signal'>;

/** What is none of its kind (some list digests among tags, or null) is left out. */
async function* names(
  host: RegistryHost,
  path: string,
  key: string,
  isOne: (name: string) => boolean,
  asking: Asking,
): AsyncGenerator<string, void, undefined> {
  for await (const answer of pages(host, `${path}?n=${PAGE}`, path, asking)) {
    const { [key]: list } = parseObject(asking.attempt, answer.bytes);
    if (list !== null && !Array.isArray(list)) {
      throw invalidAnswer(asking.attempt, `the answer to "${asking.attempt.action}" has no list`);
    }
    for (const name of list ?? []) if (typeof name === 'string' && isOne(name)) yield name;
  }
}

/** `Link: <…>; rel="next"`, until there is none. */
async function* pages(
  host: RegistryHost,
  first: string,
  plain: string,
  asking: Asking,
): AsyncGenerator<Answer, void, undefined> {
  let to: string | URL | undefined = first;
  while (to !== undefined) {
    const answer: Answer = await host.send({
      method: 'GET',
      to,
      atMost: MAX_PAGE_BYTES,
      ...asking,
    });
    if (answer.status === 400 && to === first && first !== plain) {
      // Its pages are smaller, and it says so instead of sending one.
      discard(answer.body);
      to = first = plain;
      continue;
    }
    if (answer.status !== 200) throw await host.refusal(asking.attempt, answer);
    yield answer;
    to = nextPage(answer, asking.attempt);
  }
}

function nextPage(answer: Answer, attempt: Attempt): URL | undefined {
  const link = /<([^>]*)>\s*;\s*rel="?next"?/i.exec(headerOf(answer, 'link') ?? '')?.[1];
  if (link === undefined) return undefined;
  const url = nextUrl(link, answer.url, attempt);
  if (url.host !== answer.url.host || url.href === answer.url.href) {
    throw invalidAnswer(attempt, 'its next page is not one of its own');
  }
  return url;
}

/** What says that it belongs to a manifest: signatures, attestations, SBOMs. */
export async function* referrers(
  host: RegistryHost,
  registry: string,
  repository: string,
  digest: Digest,
  { artifactType, signal }: Abortable & { readonly artifactType?: string | undefined },
): AsyncGenerator<Referrer, void, undefined> {
  const attempt = { registry, action: `list what refers to ${repository}@${digest}` };
  const scopes = [repositoryScope(repository, 'pull')];
  const asking = { scopes, attempt, signal };
  const path = `${repository}/referrers/${digest}`;
  const query =
    artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
  try {
    for await (const answer of pages(host, path + query, path + query, asking)) {
      yield* ofType(answer.bytes, attempt, artifactType);
    }
  } catch (error) {
    const absent = CaissonError.is(error, 'ERR_REGISTRY_FAILED') && error.details.status === 404;
    if (!absent) throw error;
    yield* byTag(host, repository, digest, asking, artifactType);
  }
}

export interface Referrer extends Descriptor {
  readonly artifactType?: string;
}

/** Registries from before version 1.1 have them as an index with this tag. */
async function* byTag(
  host: RegistryHost,
  repository: string,
  digest: Digest,
  asking: Asking,
  artifactType: string | undefined,
): AsyncGenerator<Referrer, void, undefined> {
  const answer = await host.send({
    method: 'GET',
    to: `${repository}/manifests/${digest.replace(':', '-')}`,
    headers: { accept: MEDIA_TYPES.index },
    atMost: MAX_PAGE_BYTES,
    ...asking,
  });
  if (answer.status === 404) {
    discard(answer.body);
    return;
  }
  if (answer.status !== 200) throw await host.refusal(asking.attempt, answer);
  yield* ofType(answer.bytes, asking.attempt, artifactType);
}

function* ofType(
  bytes: Uint8Array | undefined,
  attempt: Attempt,
  artifactType: string | undefined,
): Generator<Referrer, void, undefined> {
  const index = parseManifest(
    { mediaType: MEDIA_TYPES.index, bytes: bytes ?? new Uint8Array() },
    attempt.registry,
  );
  if (index.kind !== 'index') throw invalidAnswer(attempt, 'what refers is no index');
  const { manifests } = parseObject(attempt, bytes) as {
    manifests: { artifactType?: unknown }[];
  };
  for (const [i, descriptor] of index.manifests.entries()) {
    const type = manifests[i]?.artifactType;
    // Not every registry looks at the filter.
    if (artifactType !== undefined && type !== artifactType) continue;
    yield { ...descriptor, ...(typeof type === 'string' && { artifactType: type }) };
  }
}
