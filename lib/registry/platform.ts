import { invalid, quote } from '../errors/arguments.js';
import type { Platform } from '../store/images.js';

/** What people and uname call them. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  aarch64: 'arm64',
  armel: 'arm/v6',
  armhf: 'arm/v7',
  i386: '386',
  i686: '386',
  ia32: '386',
  x64: 'amd64',
  x86_64: 'amd64',
  'x86-64': 'amd64',
};

/** The variant that is meant where none is said. */
const USUAL: Readonly<Record<string, string>> = { arm: 'v7', arm64: 'v8', amd64: 'v1' };

export const hostPlatform = (): Platform =>
  normalizePlatform({ os: 'linux', architecture: process.arch });

/** `'linux/arm64'`, `'linux/arm/v7'`, `'arm64'`. @throws {@link CaissonError} `ERR_INVALID_ARGUMENT` */
export function parsePlatform(text: string, option = 'platform'): Platform {
  const parts = text.toLowerCase().split('/');
  const whole = parts.length === 1 ? ['linux', ...parts] : parts;
  const [os = '', architecture = '', variant] = whole;
  if (whole.length > 3 || !whole.every((part) => /^[a-z0-9][a-z0-9_.-]*$/.test(part))) {
    throw invalid(option, `must be like 'linux/arm64' or 'linux/arm/v7', not ${quote(text)}`);
  }
  return normalizePlatform({ os, architecture, ...(variant !== undefined && { variant }) });
}

export const formatPlatform = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');

/** One spelling for each; a variant that is the usual one is left out, but for arm's. */
export function normalizePlatform({ os, architecture, variant }: Platform): Platform {
  const [name = '', own] = (ARCHITECTURES[architecture] ?? architecture).split('/');
  const found = (variant || own)?.replace(/^(?=\d)/, 'v');
  const kept = name === 'arm' ? (found ?? USUAL['arm']) : found === USUAL[name] ? undefined : found;
  return { os, architecture: name, ...(kept !== undefined && { variant: kept }) };
}

/**
 * The one of `entries` for `wanted`: the very one, else the best that runs there, as arm/v6 runs on arm/v7. None of an
 * architecture that needs an emulator.
 */
export function choosePlatform<T extends { readonly platform: Platform }>(
  entries: readonly T[],
  wanted: Platform,
): T | undefined {
  const rank = ({ platform }: T): number => {
    const given = normalizePlatform(platform);
    const { os, architecture } = given;
    if (os !== wanted.os || architecture !== wanted.architecture) return -1;
    const level = levelOf(given);
    return level <= levelOf(wanted) ? level : -1;
  };
  let best: T | undefined;
  for (const entry of entries) {
    if (rank(entry) >= 0 && (best === undefined || rank(entry) > rank(best))) best = entry;
  }
  return best;
}

/** v5 < v6 < v7; what cannot be compared is as the usual one. */
function levelOf({ architecture, variant }: Platform): number {
  const text = variant ?? USUAL[architecture] ?? 'v0';
  return Number(/^v(\d+)/.exec(text)?.[1] ?? 0);
}
