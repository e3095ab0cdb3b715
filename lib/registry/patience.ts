import { setTimeout as sleep } from 'node:timers/promises';
import { abortError, CaissonError, throwIfAborted } from '../errors/index.js';
import { discard, unreachable } from './answer.js';
import { delayMs, isBroken, isTemporary, retryAfterMs, type RetryPolicy } from './retry.js';
import { headerOf, type Answer } from './transport.js';

export interface Patience {
  /** For the error when nothing comes of it. */
  readonly registry: string;
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does it again while the answer is a temporary one, or the connection breaks. Resolves with the last answer, whatever
 * it is.
 *
 * @throws {@link CaissonError} `ERR_REGISTRY_UNREACHABLE` when there was none
 */
export async function patiently(
  run: () => Promise<Answer>,
  { registry, policy, signal }: Patience,
): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    let waitMs = delayMs(attempt, policy);
    try {
      const answer = await run();
      if (!isTemporary(answer.status) || attempt >= policy.attempts) return answer;
      const asked = retryAfterMs(headerOf(answer, 'retry-after')) ?? 0;
      if (asked > policy.longestWaitMs) return answer;
      waitMs = Math.max(waitMs, asked);
      discard(answer.body);
    } catch (error) {
      throwIfAborted(signal);
      if (CaissonError.is(error)) throw error;
      if (!isBroken(error) || attempt >= policy.attempts) throw unreachable(registry, error);
    }
    await pause(waitMs, signal);
  }
}

export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    if (signal !== undefined) throw abortError(signal);
  });
}
