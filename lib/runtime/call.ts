import type { Runtime } from './runtime.js';

/** What every call on the store takes. */
export interface Call {
  /** Whose store and supervisor to use. Default: one for the program, opened on first use. */
  runtime?: Runtime;
  /** Aborts the call: it rejects with an {@link AbortError} whose `cause` is the reason, and leaves nothing behind. */
  signal?: AbortSignal;
}

/** A number of bytes, or text: `'512MiB'` (powers of 1024) or `'512MB'` (powers of 1000). */
export type Size = number | string;

export type Labels = Record<string, string>;
