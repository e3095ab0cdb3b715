import { checkBag, checkInteger, kindOf, invalid } from '../errors/arguments.js';

/** In characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export const DEFAULT_SIZE: TerminalSize = Object.freeze({ columns: 80, rows: 24 });
const KEYS: ReadonlySet<string> = new Set(['columns', 'rows']);
/** ioctl_tty(2): a struct winsize has 16 bits for each. */
export const MOST_CELLS = 65_535;

/** `tty` of `create`, `start` and `spawn`: the size of the terminal, or undefined for none. */
export function parseTty(value: unknown): TerminalSize | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return DEFAULT_SIZE;
  if (typeof value !== 'object') {
    throw invalid('tty', `must be a boolean or {columns, rows}, not ${kindOf(value)}`);
  }
  return parseSize(value, 'tty');
}

export function parseSize(value: unknown, option: string): TerminalSize {
  const size = checkBag(value, option, KEYS);
  return {
    columns: checkInteger(size['columns'], `${option}.columns`, 1, MOST_CELLS),
    rows: checkInteger(size['rows'], `${option}.rows`, 1, MOST_CELLS),
  };
}

/** Docker's rule: a terminal is an xterm unless somebody says otherwise. */
export function withTerm(
  env: readonly string[],
  terminal: TerminalSize | undefined,
): readonly string[] {
  if (terminal === undefined || env.some((entry) => entry.startsWith('TERM='))) return env;
  return [...env, 'TERM=xterm'];
}
