import {
  checkBag,
  checkInteger,
  checkName,
  checkSignal,
  invalid,
  quote,
} from '../errors/arguments.js';
import {
  checkHost,
  parseAuth,
  parseRegistry,
  type RegistrySettings,
} from '../runtime/registries-request.js';
import type { Auth } from '../runtime/options.js';
import type { Digest, Platform } from '../store/images.js';
import { isDigest } from '../store/digest.js';
import { parsePlatform, hostPlatform } from './platform.js';
import { inLibrary, isRepository, isTag } from './reference.js';

const SETTINGS = ['insecure', 'plainHttp', 'ca', 'cert', 'key', 'auth', 'authHosts'];
/** More than any registry gives. */
const MOST_RESULTS = 100;

export interface RegistryRequest {
  readonly host: string;
  /** Undefined: as the Runtime has it. */
  readonly settings: RegistrySettings | undefined;
  readonly runtime: unknown;
}

export function parseOpen(host: unknown, options: unknown = {}): RegistryRequest {
  const name = checkHost(host, 'host');
  const bag = checkBag(options, 'options', new Set([...SETTINGS, 'runtime']));
  const { runtime, ...own } = bag;
  if (runtime === undefined) {
    return { host: name, settings: parseRegistry({ ...own, host: name }, 'options'), runtime };
  }
  const [other] = Object.keys(own);
  if (other !== undefined)
    throw invalid(other, 'is the Runtime’s to say: with `runtime` it cannot be');
  return { host: name, settings: undefined, runtime };
}

export interface Named {
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string;
}

/** `name`, without tag and digest. */
export function parseRepository(host: string, value: unknown, option = 'repository'): string {
  const path = inLibrary(host, checkName(value, option));
  if (isRepository(path)) return path;
  throw invalid(option, `must be the name of a repository, like 'team/app', not ${quote(path)}`);
}

/** `name:tag` or `name@digest`; `latest` where there is neither, when `complete` allows it. */
export function parseNamed(
  host: string,
  value: unknown,
  complete: 'latest' | 'must-say' = 'latest',
  option = 'name',
): Named {
  const text = checkName(value, option);
  const at = text.indexOf('@');
  const colon = text.indexOf(':');
  const end = at >= 0 ? (colon >= 0 && colon < at ? colon : at) : colon >= 0 ? colon : text.length;
  const repository = parseRepository(host, text.slice(0, end), option);
  const reference =
    at >= 0
      ? text.slice(at + 1)
      : colon >= 0
        ? text.slice(colon + 1)
        : complete === 'latest'
          ? 'latest'
          : '';
  if (at >= 0 ? isDigest(reference) : isTag(reference)) return { repository, reference };
  throw invalid(option, `must be like 'team/app:tag' or 'team/app@sha256:…', not ${quote(text)}`);
}

export interface CallRequest {
  readonly signal: AbortSignal | undefined;
}

export function parseCall(options: unknown = {}): CallRequest {
  const bag = checkBag(options, 'options', new Set(['signal']));
  return { signal: checkSignal(bag['signal'], 'signal') };
}

export function parseConfig(options: unknown = {}): CallRequest & { readonly platform: Platform } {
  const { platform, signal } = checkBag(options, 'options', new Set(['signal', 'platform']));
  return {
    signal: checkSignal(signal, 'signal'),
    platform:
      platform === undefined ? hostPlatform() : parsePlatform(checkName(platform, 'platform')),
  };
}

export function parseReferrers(
  options: unknown = {},
): CallRequest & { readonly artifactType: string | undefined } {
  const { artifactType, signal } = checkBag(
    options,
    'options',
    new Set(['signal', 'artifactType']),
  );
  return {
    signal: checkSignal(signal, 'signal'),
    artifactType: artifactType === undefined ? undefined : checkName(artifactType, 'artifactType'),
  };
}

export function parseSearch(options: unknown = {}): CallRequest & { readonly limit: number } {
  const { limit, signal } = checkBag(options, 'options', new Set(['signal', 'limit']));
  return {
    signal: checkSignal(signal, 'signal'),
    limit: limit === undefined ? 25 : checkInteger(limit, 'limit', 1, MOST_RESULTS),
  };
}

/** What can be kept: not a token that the registry takes as it is. */
export function parseLogin(value: unknown): Exclude<Auth, { token: string }> {
  const auth = parseAuth(value, 'auth');
  if ('token' in auth) {
    throw invalid(
      'auth',
      'must be username and password, or identityToken: a token is for one registry and some minutes',
    );
  }
  return auth;
}

export function checkDigest(value: unknown, option: string): Digest {
  const text = checkName(value, option);
  if (isDigest(text)) return text;
  throw invalid(option, `must be a digest, 'sha256:…', not ${quote(text)}`);
}
