import { CaissonError } from '../errors/index.js';
import { Type } from '../native/protocol.js';
import { assertFreezes, inTurn, setFrozen } from './pause.js';
import type { Supervised } from './supervise.js';

/**
 * Does `work` while nothing in the container moves: one that runs is paused meanwhile, one that does not run is not
 * started. `'running'`: it may move. What is on its way to its end is waited for.
 */
export async function whileStill<T>(
  core: Supervised,
  how: 'paused' | 'running',
  what: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  if (how === 'running') return await work();
  await core.starting;
  return await inTurn(core, async () => {
    const state = await core.until(
      (now) => (now.status === 'stopping' || now.status === 'restarting' ? undefined : now),
      signal,
    );
    if (state.status === 'paused') return await work();
    if (state.status !== 'running') return await keptStopped(core, work);
    assertFreezes(core, what, 'Stop it first, or say { pause: false }.');
    if (!(await frozen(core))) {
      await core.until((now) => (now.status === 'running' ? undefined : true), signal);
      return await keptStopped(core, work);
    }
    try {
      return await work();
    } finally {
      await thaw(core);
    }
  });
}

/** False: it has ended meanwhile. */
async function frozen(core: Supervised): Promise<boolean> {
  try {
    await setFrozen(core, Type.freeze, 'pause');
  } catch (error) {
    if (!CaissonError.is(error, 'ERR_CONTAINER_NOT_RUNNING')) throw error;
    return false;
  }
  const { state } = core;
  if (state.status === 'running') core.enter({ status: 'paused', run: state.run }, 'pause');
  return true;
}

async function thaw(core: Supervised): Promise<void> {
  const before = core.state;
  if (before.status !== 'paused') return; // it was stopped, or killed
  try {
    await setFrozen(core, Type.thaw, 'resume');
  } catch (error) {
    if (!CaissonError.is(error, 'ERR_CONTAINER_NOT_RUNNING')) throw error;
  }
  const { state } = core;
  if (state.status === 'paused') core.enter({ status: 'running', run: state.run }, 'resume');
}

async function keptStopped<T>(core: Supervised, work: () => Promise<T>): Promise<T> {
  const doing = work();
  const still = doing.then(
    () => undefined,
    () => undefined,
  );
  core.still = still;
  try {
    return await doing;
  } finally {
    if (core.still === still) core.still = undefined;
  }
}
