// What a process is asked to be: checked once for `run`, `create`, `exec` and `spawn` alike.
import {
  checkAbsolutePath,
  checkArray,
  checkInteger,
  checkName,
  checkString,
  invalid,
  kindOf,
  type Bag,
} from '../errors/arguments.js';
import { unmapped } from '../errors/unmapped.js';
import { MAX_ID } from '../host/subordinate-ids.js';
import { hostIdOf, type IdMaps } from './userns-request.js';

/** execve(2): MAX_ARG_STRLEN, the NUL included. */
export const MAX_STRING_BYTES = 128 * 1024;
/** execve(2): three quarters of _STK_LIM, for argv and env together. */
export const MAX_ARGUMENT_BYTES = 6 * 1024 * 1024;

/** Absent members are the container's, or the image's. */
export interface ProcessRequest {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
  readonly user: string | undefined;
  /** 0: none. */
  readonly timeoutMs: number;
}

const NO_ENV: Readonly<Record<string, string>> = Object.freeze({});

export function parseProcess(options: Bag): ProcessRequest {
  return {
    env: options['env'] === undefined ? NO_ENV : parseEnv(options['env'], 'env'),
    cwd: options['cwd'] === undefined ? undefined : checkAbsolutePath(options['cwd'], 'cwd'),
    user: options['user'] === undefined ? undefined : parseUser(options['user'], 'user'),
    timeoutMs: parseMilliseconds(options['timeoutMs'], 'timeoutMs'),
  };
}

/** What is a number is known to be mapped or not before anything is done; a name is looked up inside. */
export function checkMapped(
  user: string,
  groups: readonly string[],
  { uids, gids }: { readonly uids: number; readonly gids: number },
  userns?: IdMaps,
): void {
  const [uid = '', gid = ''] = user.split(':');
  const isMapped = (id: string, count: number, map: IdMaps['uids'] | undefined): boolean =>
    !/^\d+$/.test(id) ||
    (map === undefined ? Number(id) < count : hostIdOf(map, Number(id)) !== undefined);
  const isGroup = (id: string): boolean => isMapped(id, gids, userns?.gids);
  if (!isMapped(uid, uids, userns?.uids) || !isGroup(gid))
    throw unmapped(`user ${JSON.stringify(user)}`);
  const group = groups.find((one) => !isGroup(one));
  if (group !== undefined) throw unmapped(`groupAdd ${JSON.stringify(group)}`);
}

/** A list of arguments: the first is the command and may not be empty. */
export function parseArgv(value: unknown, option: string): readonly string[] {
  const list = checkArray(value, option);
  return list.map((argument, index) => {
    const path = `${option}[${index}]`;
    const text = index === 0 ? checkName(argument, path) : checkString(argument, path);
    return checkLength(text, path);
  });
}

export function parseEnv(value: unknown, option: string): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(option, `must be an object of names and values, not ${kindOf(value)}`);
  }
  for (const [name, content] of Object.entries(value)) {
    // The value is never shown: it may be a secret.
    if (name === '' || name.includes('=') || name.includes('\0')) {
      throw invalid(option, `${JSON.stringify(name)} is no name: empty, or with '=' or NUL in it`);
    }
    const path = `${option}.${name}`;
    checkLength(checkString(content, path), path, name.length + 1);
  }
  return value as Readonly<Record<string, string>>;
}

function checkLength(text: string, option: string, more = 0): string {
  // At most three bytes a UTF-16 unit: short ones need no count.
  const most = (text.length + more) * 3;
  if (most >= MAX_STRING_BYTES && Buffer.byteLength(text) + more >= MAX_STRING_BYTES) {
    throw invalid(
      option,
      `is longer than the kernel takes: one string may have 128 KiB (execve(2))`,
    );
  }
  return text;
}

/** Refuses what execve(2) would: argv, env and their pointers share a quarter of the stack limit, at most 6 MiB. */
export function checkArgumentSize(
  argv: readonly string[],
  env: readonly string[],
  stackBytes: number,
): void {
  const limit = Math.min(
    MAX_ARGUMENT_BYTES,
    Math.max(Math.floor(stackBytes / 4), MAX_STRING_BYTES),
  );
  const bytes = size(argv) + size(env);
  if (bytes <= limit) return;
  const larger = size(argv) > size(env) ? 'argv' : 'env';
  throw invalid(
    larger,
    `argv and env take ${bytes} bytes, and the kernel takes at most ${limit} ` +
      '(a quarter of the stack limit, never more than 6 MiB: execve(2))',
  );
}

function size(list: readonly string[]): number {
  let bytes = 0;
  for (const text of list) bytes += text.length;
  // Exact only when it could matter.
  if (bytes * 3 < MAX_STRING_BYTES) return bytes;
  bytes = 0;
  for (const text of list) bytes += Buffer.byteLength(text) + 1 + 8;
  return bytes;
}

/** `user`, `uid`, `user:group`, … as Docker; numbers are read strictly, names are the image's affair. */
export function parseUser(value: unknown, option: string): string {
  const text = checkString(value, option);
  const parts = text.split(':');
  if (text === '' || parts.length > 2) {
    throw invalid(
      option,
      `must be like 'name', '1000' or '1000:1000', not ${JSON.stringify(text)}`,
    );
  }
  for (const part of parts) parseUserOrGroup(part, option);
  return text;
}

/** A name or a number of passwd(5) or group(5). */
export function parseUserOrGroup(value: unknown, option: string): string {
  const text = checkName(value, option);
  if (/^\d+$/.test(text)) {
    if (text.length > 10 || Number(text) > MAX_ID) {
      throw invalid(option, `an id goes from 0 to ${MAX_ID}, not ${text}`);
    }
    return text;
  }
  // eslint-disable-next-line no-control-regex -- those are what must not be in a name
  if (/^[-+]|[\u0000-\u0020:/\u007f]/.test(text)) {
    throw invalid(option, `${JSON.stringify(text)} is neither a name nor a number`);
  }
  return text;
}

/** Milliseconds; 0 and absent are none. */
export function parseMilliseconds(value: unknown, option: string): number {
  return value === undefined ? 0 : checkInteger(value, option, 0);
}
