import { readFileSync } from 'node:fs';

/**
 * What this thread has had of the processors, in milliseconds: what others take does not count. getrusage(2)
 * first, which has the kernel count up to now instead of to the last tick.
 */
function ownTime(): number {
  process.cpuUsage();
  return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1)[0]) / 1e6;
}

async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = ownTime();
  const timer = setInterval(() => {
    const now = ownTime();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return longest;
}

/**
 * The longest stretch of the event loop while `work` runs, in milliseconds of this thread's processor
 * time; the shortest of three runs, because a garbage collection may fall into any one of them and what
 * `work` itself holds is held in each.
 */
export async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let shortest = Infinity;
  for (let round = 0; round < 3; round += 1) {
    shortest = Math.min(shortest, await longestTurn(work));
  }
  return shortest;
}
