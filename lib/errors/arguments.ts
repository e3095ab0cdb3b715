// What every request.ts is made of: small checks of one value each, which name the option.
import { CaissonError } from './caisson-error.js';

/** The refusal of one option. `option` is its path, for example `'mounts[2].target'`. */
export function invalid(option: string, reason: string): CaissonError<'ERR_INVALID_ARGUMENT'> {
  return new CaissonError('ERR_INVALID_ARGUMENT', { option, reason });
}

/** The refusal of something that a later version brings: never silently ignored. */
export function notYet(what: string, since = 'a later version'): CaissonError<'ERR_UNSUPPORTED'> {
  return new CaissonError('ERR_UNSUPPORTED', { what, since });
}

/** What a bad value looked like; never its content, which may be a secret. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return Object.prototype.toString.call(value).slice(8, -1);
  return typeof value;
}

export type Bag = Readonly<Record<string, unknown>>;

/** A plain object with none but known keys; the nearest known name is said for another one. */
export function checkBag(value: unknown, option: string, known: ReadonlySet<string>): Bag {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(option, `must be an object, not ${kindOf(value)}`);
  }
  for (const key in value) {
    if (!known.has(key)) throw unknownKey(option, key, known);
  }
  return value as Bag;
}

function unknownKey(option: string, key: string, known: ReadonlySet<string>): CaissonError {
  const nearest = nearestName(key, known);
  const path = option === '' || option === 'options' ? key : `${option}.${key}`;
  return invalid(path, `unknown option${nearest === undefined ? oneOf(known) : guess(nearest)}`);
}

const guess = (nearest: string): string => `; did you mean ${JSON.stringify(nearest)}?`;

/** Where there are few. */
function oneOf(known: ReadonlySet<string>): string {
  return known.size > 8 ? '' : `; known are ${[...known].join(', ')}`;
}

export function checkString(value: unknown, option: string): string {
  if (typeof value !== 'string') throw invalid(option, `must be a string, not ${kindOf(value)}`);
  if (value.includes('\0')) throw invalid(option, 'must not contain NUL');
  return value;
}

export function checkName(value: unknown, option: string): string {
  const text = checkString(value, option);
  if (text === '') throw invalid(option, 'must not be empty');
  return text;
}

export function checkBoolean(value: unknown, option: string): boolean {
  if (typeof value !== 'boolean') throw invalid(option, `must be a boolean, not ${kindOf(value)}`);
  return value;
}

export function checkInteger(
  value: unknown,
  option: string,
  lowest: number,
  highest = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < lowest || value > highest) {
    const upTo = highest === Number.MAX_SAFE_INTEGER ? '' : ` up to ${highest}`;
    throw invalid(option, `must be a whole number from ${lowest}${upTo}, not ${shown(value)}`);
  }
  return value;
}

const shown = (value: unknown): string =>
  typeof value === 'number' ? String(value) : kindOf(value);

export function checkOneOf<T extends string>(
  value: unknown,
  option: string,
  allowed: readonly T[],
): T {
  if (!(allowed as readonly unknown[]).includes(value)) {
    const list = allowed.map((one) => JSON.stringify(one)).join(', ');
    throw invalid(
      option,
      `must be one of ${list}, not ${typeof value === 'string' ? JSON.stringify(value) : kindOf(value)}`,
    );
  }
  return value as T;
}

export function checkArray(value: unknown, option: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(option, `must be an array, not ${kindOf(value)}`);
  return value;
}

/** An absolute path in its shortest form: no `.`, `..`, empty component or slash at the end. */
export function checkAbsolutePath(value: unknown, option: string): string {
  const path = checkName(value, option);
  if (!path.startsWith('/')) throw invalid(option, `must be an absolute path, not ${quote(path)}`);
  if (Buffer.byteLength(path) > 4095) throw invalid(option, 'must be shorter than 4096 bytes');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** Names and texts. */
export function checkLabels(value: unknown, option: string): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(option, `must be an object of names and values, not ${kindOf(value)}`);
  }
  for (const [name, text] of Object.entries(value)) {
    if (name === '') throw invalid(option, 'a name must not be empty');
    checkString(text, `${option}.${name}`);
  }
  return value as Readonly<Record<string, string>>;
}

export function checkSignal(value: unknown, option: string): AbortSignal | undefined {
  if (value === undefined || value instanceof AbortSignal) return value;
  throw invalid(option, `must be an AbortSignal, not ${kindOf(value)}`);
}

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** A number of bytes, or text such as `'512MiB'` (powers of 1024) or `'512MB'` (of 1000). */
export function checkSize(value: unknown, option: string, lowest = 0): number {
  let bytes: unknown = value;
  if (typeof value === 'string') {
    const match = /^(\d+(?:\.\d+)?) ?([kMGT]?B|[KMGT]iB)$/.exec(value);
    if (match === null) {
      throw invalid(option, `must be like 1048576 or '512MiB', not ${quote(value)}`);
    }
    bytes = Math.floor(Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN));
  }
  return checkInteger(bytes, option, lowest);
}

export const quote = (text: string): string =>
  JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** The known name a user most likely meant, or none when nothing is near. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  const given = name.toLowerCase();
  for (const candidate of known) {
    // A unit that was left out (`timeout` for `timeoutMs`) is the likeliest slip of all.
    const tail = candidate.length - name.length;
    const unit = given.length > 2 && candidate.toLowerCase().startsWith(given);
    const distance = unit ? tail / 100 : editDistance(given, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Damerau-Levenshtein, adjacent swaps counted as one edit. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        edits = Math.min(edits, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(edits);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
