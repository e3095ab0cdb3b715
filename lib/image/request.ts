import type { Readable } from 'node:stream';
import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkBoolean,
  checkName,
  checkOneOf,
  checkSignal,
  checkString,
  invalid,
  kindOf,
  type Bag,
} from '../errors/arguments.js';
import { CaissonError } from '../errors/index.js';
import type { ArchiveFormat } from '../archive/write.js';
import { parseImageConfig, type ImageConfig } from './config.js';
import { formatPlatform, parsePlatform } from '../registry/platform.js';
import { checkReference, parseReference } from '../registry/reference.js';
import { parseAuth } from '../runtime/registries-request.js';
import type { Platform } from '../store/images.js';
import type { LoadRequest } from './load.js';
import type { PullRequest } from './pull.js';
import type { PushRequest } from './push.js';
import type { PruneRequest } from './remove.js';
import type { VerifyRequest } from './verify.js';

const CALL = ['runtime', 'signal'];

export interface CallRequest {
  readonly runtime: unknown;
  readonly signal: AbortSignal | undefined;
}

export interface HostRequest {
  readonly paths: readonly string[];
  readonly writable: readonly string[];
}

export interface ImportRequest extends CallRequest {
  /** A folder, or an archive as it comes. */
  readonly source: string | Readable;
  readonly config: ImageConfig;
}

export interface ListRequest extends CallRequest {
  /** Full name. */
  readonly reference: string | undefined;
  readonly labels: readonly string[];
}

export function parseHost(options: unknown = {}): HostRequest {
  const bag = checkBag(options, 'options', new Set([...CALL, 'paths', 'writable']));
  checkSignal(bag['signal'], 'signal');
  const paths = absolutePaths(bag['paths'], 'paths');
  const hidden = paths.findIndex((path) => /^\/(?:proc|sys|dev)?(?:\/|$)/.test(path));
  if (hidden >= 0) {
    throw invalid(`paths[${hidden}]`, 'the root, /proc, /sys and /dev are the container’s own');
  }
  return { paths, writable: absolutePaths(bag['writable'], 'writable') };
}

export function parseFromRootfs(dir: unknown, config: unknown, options: unknown): ImportRequest {
  return {
    source: isStream(dir) ? dir : checkName(dir, 'dir'),
    config: parseImageConfig(config),
    ...parseCall(options),
  };
}

const isStream = (value: unknown): value is Readable =>
  typeof value === 'object' && value !== null && 'pipe' in value;

export function parseLoad(source: unknown, options: unknown): LoadRequest {
  return {
    ...parseCall(options),
    source: isStream(source) ? source : checkName(source, 'source'),
  };
}

export function parseList(options: unknown = {}): ListRequest {
  const bag = checkBag(options, 'options', new Set([...CALL, 'filter']));
  const filter =
    bag['filter'] === undefined
      ? {}
      : checkBag(bag['filter'], 'filter', new Set(['reference', 'label']));
  return {
    ...call(bag),
    reference:
      filter['reference'] === undefined
        ? undefined
        : parseReference(checkName(filter['reference'], 'filter.reference'), 'filter.reference'),
    labels: labelList(filter['label'], 'filter.label'),
  };
}

const FORMATS = ['oci', 'docker'] as const;

export function parseSave(options: unknown = {}): ArchiveFormat {
  const { format = 'oci' } = checkBag(options, 'options', new Set(['format']));
  return checkOneOf(format, 'format', FORMATS);
}

export function parseCall(options: unknown = {}): CallRequest {
  return call(checkBag(options, 'options', new Set(CALL)));
}

const POLICIES = ['missing', 'always', 'never'] as const;

export function parsePull(ref: unknown, options: unknown = {}): PullRequest {
  const reference = checkReference(checkName(ref, 'ref'));
  const bag = checkBag(options, 'options', new Set([...CALL, 'platform', 'policy', 'auth']));
  const { platform, policy = 'missing', auth } = bag;
  return {
    ...call(bag),
    reference,
    platform: platform === undefined ? undefined : linuxPlatform(checkString(platform, 'platform')),
    policy: checkOneOf(policy, 'policy', POLICIES),
    auth: auth === undefined ? undefined : parseAuth(auth, 'auth'),
  };
}

function linuxPlatform(text: string): Platform {
  const platform = parsePlatform(text);
  if (platform.os === 'linux') return platform;
  const what = `an image for ${formatPlatform(platform)}`;
  throw new CaissonError('ERR_UNSUPPORTED', { what, reason: 'containers here are Linux' });
}

export function parsePush(ref: unknown, options: unknown = {}): PushRequest {
  const reference = checkReference(checkName(ref, 'ref'));
  if (reference.digest !== undefined) {
    throw invalid('ref', 'must be a name without a digest: what is pushed has its own');
  }
  const bag = checkBag(options, 'options', new Set([...CALL, 'auth']));
  const { auth } = bag;
  return {
    ...call(bag),
    reference,
    auth: auth === undefined ? undefined : parseAuth(auth, 'auth'),
  };
}

export function parsePrune(options: unknown = {}): CallRequest & PruneRequest {
  const bag = checkBag(options, 'options', new Set([...CALL, 'dangling', 'until', 'labels']));
  const { dangling, until, labels } = bag;
  if (until !== undefined && !(until instanceof Date && !Number.isNaN(until.getTime()))) {
    throw invalid('until', `must be a Date, not ${kindOf(until)}`);
  }
  return {
    ...call(bag),
    dangling: dangling === undefined ? true : checkBoolean(dangling, 'dangling'),
    until,
    labels: labelList(labels, 'labels'),
  };
}

export function parseVerify(options: unknown = {}): VerifyRequest {
  const bag = checkBag(options, 'options', new Set([...CALL, 'images', 'layers', 'repair']));
  const { images, layers, repair } = bag;
  return {
    ...call(bag),
    images:
      images === undefined
        ? undefined
        : checkArray(images, 'images').map((one, i) => checkName(one, `images[${i}]`)),
    layers: layers === undefined ? true : checkBoolean(layers, 'layers'),
    repair: repair === undefined ? false : checkBoolean(repair, 'repair'),
  };
}

export function parseRemove(options: unknown = {}): { readonly force: boolean } {
  const bag = checkBag(options, 'options', new Set(['force']));
  return { force: bag['force'] === undefined ? false : checkBoolean(bag['force'], 'force') };
}

const call = (bag: Bag): CallRequest => ({
  runtime: bag['runtime'],
  signal: checkSignal(bag['signal'], 'signal'),
});

function labelList(value: unknown = [], option: string): readonly string[] {
  return (Array.isArray(value) ? value : [value]).map((one) => checkString(one, option));
}

function absolutePaths(value: unknown, option: string): readonly string[] {
  if (value === undefined) return [];
  if (typeof value === 'string') throw invalid(option, `must be an array, not ${kindOf(value)}`);
  const paths = checkArray(value, option).map((path, i) =>
    checkAbsolutePath(path, `${option}[${i}]`),
  );
  return [...new Set(paths)].sort();
}
