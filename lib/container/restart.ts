import { startContainer } from './start.js';
import { assertCan } from './state.js';
import { parseStop, stopContainer } from './stop.js';
import type { Supervised } from './supervise.js';

/** Stops what runs, by its own stop signal and the default grace, and starts it again. */
export async function restartContainer(core: Supervised): Promise<void> {
  assertCan('restart', core.state.status, core.name);
  if (core.state.status === 'running' || core.state.status === 'paused') {
    await stopContainer(core, parseStop(undefined), 'restarting');
  }
  await startContainer(core);
  core.announce('restart');
}
