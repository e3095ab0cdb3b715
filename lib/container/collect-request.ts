import { Readable } from 'node:stream';
import {
  checkBag,
  checkBoolean,
  checkOneOf,
  checkSignal,
  checkSize,
  invalid,
  kindOf,
  type Bag,
} from '../errors/arguments.js';
import type { Encoding, ExecOptions, SpawnOptions } from './options.js';
import { parseArgv, parseProcess, type ProcessRequest } from './process-request.js';
import { parseTty, type TerminalSize } from './terminal-request.js';

export const DEFAULT_OUTPUT_BYTES = 16 * 1024 * 1024;
/** What one Buffer can hold on every Node that is supported. */
const MAX_OUTPUT_BYTES = 2 ** 31 - 1;

/** How output is collected, by `run` and `exec`. */
export interface CollectRequest {
  readonly input: string | Uint8Array | Readable | undefined;
  readonly maxOutputBytes: number;
  readonly encoding: Encoding;
  readonly check: boolean;
}

/** What `exec` and `spawn` start in a running container. */
export interface JoinRequest {
  readonly argv: readonly string[];
  readonly process: ProcessRequest;
  readonly privileged: boolean;
  readonly runtime: unknown;
  readonly signal: AbortSignal | undefined;
}

const EXEC_KEYS: Record<keyof ExecOptions, true> = {
  env: true,
  cwd: true,
  user: true,
  input: true,
  timeoutMs: true,
  maxOutputBytes: true,
  encoding: true,
  check: true,
  privileged: true,
  runtime: true,
  signal: true,
};
const EXEC: ReadonlySet<string> = new Set(Object.keys(EXEC_KEYS));

const SPAWN_KEYS: Record<keyof SpawnOptions, true> = {
  env: true,
  cwd: true,
  user: true,
  tty: true,
  stdin: true,
  timeoutMs: true,
  privileged: true,
  runtime: true,
  signal: true,
};
const SPAWN: ReadonlySet<string> = new Set(Object.keys(SPAWN_KEYS));

const NO_OPTIONS: Bag = Object.freeze({});

export function parseExec(
  argv: unknown,
  value: unknown,
): JoinRequest & { readonly collect: CollectRequest } {
  const options = value === undefined ? NO_OPTIONS : checkBag(value, 'options', EXEC);
  return { ...parseJoin(argv, options), collect: parseCollect(options) };
}

export function parseSpawn(
  argv: unknown,
  value: unknown,
): JoinRequest & {
  readonly stdin: 'pipe' | 'ignore';
  readonly tty: TerminalSize | undefined;
} {
  const options = value === undefined ? NO_OPTIONS : checkBag(value, 'options', SPAWN);
  const stdin = checkOneOf(options['stdin'] ?? 'pipe', 'stdin', ['pipe', 'ignore']);
  return { ...parseJoin(argv, options), stdin, tty: parseTty(options['tty']) };
}

function parseJoin(argv: unknown, options: Bag): JoinRequest {
  const list = parseArgv(argv, 'argv');
  if (list.length === 0) throw invalid('argv', 'must not be empty');
  return {
    argv: list,
    process: parseProcess(options),
    privileged: checkBoolean(options['privileged'] ?? false, 'privileged'),
    runtime: options['runtime'],
    signal: checkSignal(options['signal'], 'signal'),
  };
}

export function parseCollect(options: Bag): CollectRequest {
  const { maxOutputBytes } = options;
  const bytes =
    maxOutputBytes === undefined
      ? DEFAULT_OUTPUT_BYTES
      : checkSize(maxOutputBytes, 'maxOutputBytes', 0);
  if (bytes > MAX_OUTPUT_BYTES) {
    throw invalid('maxOutputBytes', `must be at most ${MAX_OUTPUT_BYTES}; use spawn for more`);
  }
  return {
    input: parseInput(options['input']),
    maxOutputBytes: bytes,
    encoding: checkOneOf(options['encoding'] ?? 'utf8', 'encoding', ['utf8', 'buffer']),
    check: checkBoolean(options['check'] ?? false, 'check'),
  };
}

function parseInput(value: unknown): CollectRequest['input'] {
  if (value === undefined || typeof value === 'string') return value;
  if (value instanceof Uint8Array || value instanceof Readable) return value;
  if (isReadable(value)) return value;
  throw invalid('input', `must be a string, a Uint8Array or a Readable, not ${kindOf(value)}`);
}

/** A Readable of another copy of the streams (readable-stream, another realm). */
function isReadable(value: unknown): value is Readable {
  if (typeof value !== 'object' || value === null) return false;
  const { pipe, on } = value as Partial<Readable>;
  return typeof pipe === 'function' && typeof on === 'function';
}
