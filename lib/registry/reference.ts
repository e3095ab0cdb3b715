import { invalid, quote } from '../errors/arguments.js';
import { isRegistryHost } from '../runtime/registry-host.js';
import type { Digest } from '../store/images.js';
import { isDigest } from '../store/digest.js';

// distribution/reference: what Docker and OCI call an image, name[:tag][@digest].
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
/** An id, and so never a name. */
const IDENTIFIER = /^[0-9a-f]{64}$/;
const MAX_PATH = 255;
const MAX_TEXT = 1024;
const DEFAULT_TAG = 'latest';
const LIBRARY = 'library/';

/** Docker Hub, as names have it. */
export const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DOMAIN = 'index.docker.io';

/** What a name says, complete: Docker's defaults are filled in. */
export interface Reference {
  /** Host and port of the registry: `docker.io`, `registry.example:5000`. */
  readonly domain: string;
  /** Of the repository in it: `library/alpine`. */
  readonly path: string;
  /** `latest` where the text had neither tag nor digest. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** What `alpine`, `registry.example:5000/a/b:1` or `alpine@sha256:…` means; undefined when it means nothing. */
export function readReference(text: string): Reference | undefined {
  if (text.length > MAX_TEXT || IDENTIFIER.test(text)) return undefined;
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const named = at < 0 ? text : text.slice(0, at);
  if (digest !== undefined && !isDigest(digest)) return undefined;

  const colon = named.lastIndexOf(':');
  const tagged = colon > named.lastIndexOf('/');
  const tag = tagged ? named.slice(colon + 1) : digest === undefined ? DEFAULT_TAG : undefined;
  if (tag !== undefined && !isTag(tag)) return undefined;

  const { domain, path } = split(tagged ? named.slice(0, colon) : named);
  if (!isRegistryHost(domain) || !isRepository(path)) return undefined;
  return {
    domain,
    path,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** As readReference. @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` */
export function checkReference(text: string, option = 'ref'): Reference {
  const reference = readReference(text);
  if (reference === undefined) {
    throw invalid(
      option,
      `must be like 'name:tag', 'registry.example/path/name:tag' or 'name@sha256:…', not ${quote(text)}`,
    );
  }
  return reference;
}

/** Whether it can be the path of a repository. */
export const isRepository = (path: string): boolean => path.length <= MAX_PATH && PATH.test(path);

export const isTag = (text: string): boolean => TAG.test(text);

/** Docker's rule: a first part that looks like a host is one. */
function split(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const domain = isDomain && first !== LEGACY_DOMAIN ? first : DEFAULT_DOMAIN;
  return { domain, path: inLibrary(domain, isDomain ? name.slice(slash + 1) : name) };
}

/** The path of a repository as its registry calls it: of Docker Hub `alpine` is `library/alpine`. */
export const inLibrary = (domain: string, path: string): string =>
  domain === DEFAULT_DOMAIN && !path.includes('/') ? LIBRARY + path : path;

export function formatReference({ domain, path, tag, digest }: Reference): string {
  return `${domain}/${path}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The full name of what a user calls `alpine`: `docker.io/library/alpine:latest`. Without a digest. */
export function parseReference(text: string, option = 'ref'): string {
  const full = normalize(text);
  if (full === undefined) {
    throw invalid(
      option,
      `must be like 'name:tag' or 'registry.example/path/name:tag', not ${quote(text)}`,
    );
  }
  return full;
}

/** As parseReference, or undefined when the text is no name. */
export function normalize(text: string): string | undefined {
  const reference = readReference(text);
  return reference === undefined || reference.digest !== undefined
    ? undefined
    : formatReference(reference);
}

/** The short form that people write, for showing. */
export function familiar(full: string): string {
  if (!full.startsWith(`${DEFAULT_DOMAIN}/`)) return full;
  const path = full.slice(DEFAULT_DOMAIN.length + 1);
  const short = path.startsWith(LIBRARY) ? path.slice(LIBRARY.length) : path;
  // `library/a/b` is not what `a/b` means.
  return short.includes('/') ? path : short;
}
