/** When each stage of making a container ended, in milliseconds from the call; of starting it, how long that took. */
export interface StageTimings {
  /** The options were checked. */
  readonly requestMs?: number;
  /** The image was found, and the Runtime open. */
  readonly resolveMs?: number;
  /** The plan was made. */
  readonly planMs?: number;
  /** The records were written. */
  readonly createMs?: number;
  /** From the call of `start` to the exec of the program. */
  readonly startMs?: number;
}

/** A clock for one call. */
export function stopwatch(): () => number {
  const begin = performance.now();
  return () => Math.round((performance.now() - begin) * 1000) / 1000;
}
