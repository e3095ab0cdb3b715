import { invalid } from '../errors/arguments.js';

// distribution/reference: what Docker and OCI call an image.
const DOMAIN = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const DEFAULT_DOMAIN = 'docker.io';
const LIBRARY = 'library/';

/** The full name of what a user calls `alpine`: `docker.io/library/alpine:latest`. */
export function parseReference(text: string, option = 'ref'): string {
  const full = normalize(text);
  if (full === undefined) {
    throw invalid(
      option,
      `must be like 'name:tag' or 'registry.example/path/name:tag', not ${JSON.stringify(text.slice(0, 80))}`,
    );
  }
  return full;
}

/** As parseReference, or undefined when the text is no reference. */
export function normalize(text: string): string | undefined {
  const colon = text.lastIndexOf(':');
  const tagged = colon > text.lastIndexOf('/');
  const tag = tagged ? text.slice(colon + 1) : 'latest';
  const name = tagged ? text.slice(0, colon) : text;
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  // Docker's rule: a first part that looks like a host is one.
  const isDomain = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const domain = isDomain ? first : DEFAULT_DOMAIN;
  let path = isDomain ? name.slice(slash + 1) : name;
  if (domain === DEFAULT_DOMAIN && !path.includes('/')) path = LIBRARY + path;
  const valid = DOMAIN.test(domain) && PATH.test(path) && TAG.test(tag) && path.length <= 255;
  return valid ? `${domain}/${path}:${tag}` : undefined;
}

/** The short form that people write, for showing. */
export function familiar(full: string): string {
  const path = full.startsWith(`${DEFAULT_DOMAIN}/`)
    ? full.slice(DEFAULT_DOMAIN.length + 1)
    : undefined;
  if (path === undefined) return full;
  return path.startsWith(LIBRARY) ? path.slice(LIBRARY.length) : path;
}
