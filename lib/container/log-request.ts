import { checkBag, checkInteger, checkOneOf, checkSize, type Bag } from '../errors/arguments.js';

export type LogAsked =
  | { readonly type: 'file'; readonly maxBytes: number; readonly files: number }
  | { readonly type: 'none' };

const KEYS = {
  file: new Set(['type', 'maxBytes', 'files']),
  none: new Set(['type']),
};

/** A record must fit a file, with room for its frame. */
const LOWEST_MAX_BYTES = 4096;

export const DEFAULT_LOG: LogAsked = Object.freeze({
  type: 'file',
  maxBytes: 16 * 1024 * 1024,
  files: 3,
});

export function parseLog(value: unknown): LogAsked {
  if (value === undefined) return DEFAULT_LOG;
  const kind = typeof value === 'object' && value !== null ? (value as Bag)['type'] : value;
  const type = checkOneOf(kind, 'log.type', ['file', 'none']);
  const bag = checkBag(value, 'log', KEYS[type]);
  if (type === 'none') return { type };
  const { maxBytes, files } = DEFAULT_LOG as Extract<LogAsked, { type: 'file' }>;
  return {
    type,
    maxBytes: checkSize(bag['maxBytes'] ?? maxBytes, 'log.maxBytes', LOWEST_MAX_BYTES),
    files: checkInteger(bag['files'] ?? files, 'log.files', 1, 1000),
  };
}
