/** What an aborted call rejects with: a DOMException named AbortError. */
export interface AbortError<R = unknown> extends DOMException {
  readonly name: 'AbortError';
  /** `signal.reason`. */
  readonly cause: unknown;
  /** How the process ended, when it had started; of `run` and `exec` with the output so far. */
  readonly result?: R;
}

/** Makes the rejection of a call whose `signal` was aborted. */
export function abortError<R>(signal: AbortSignal, result?: R): AbortError<R> {
  const error = new DOMException('The operation was aborted', {
    name: 'AbortError',
    cause: signal.reason,
  });
  // An own property, so that it shows in the inspector; DOMException has no room for it.
  if (result !== undefined)
    Object.defineProperty(error, 'result', { value: result, enumerable: true });
  return error as unknown as AbortError<R>;
}

/** Rejects early: nothing was begun yet. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortError(signal);
}
