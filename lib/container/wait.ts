import { CaissonError, throwIfAborted } from '../errors/index.js';
import { checkBag, checkOneOf, checkSignal, notYet } from '../errors/arguments.js';
import { checkOwnRuntime } from '../runtime/runtime.js';
import type { ExitInfo } from './exit-info.js';
import type { ContainerState } from './state.js';
import type { Supervised } from './supervise.js';

const KEYS: ReadonlySet<string> = new Set(['until', 'signal', 'runtime']);
const UNTIL = ['exit', 'running', 'healthy', 'removed'] as const;

/**
 * Waits for a state. `'exit'`: how it ended, now or next; a container that was never started is
 * waited for. `'running'` and `'removed'` give how it ended last, where it did.
 */
export async function waitFor(core: Supervised, value: unknown): Promise<ExitInfo | undefined> {
  const options = value === undefined ? {} : checkBag(value, 'options', KEYS);
  const until = checkOneOf(options['until'] ?? 'exit', 'until', UNTIL);
  checkOwnRuntime(options['runtime'], core.parts);
  const signal = checkSignal(options['signal'], 'signal');
  throwIfAborted(signal);
  if (until === 'healthy') throw notYet("wait({ until: 'healthy' })");
  const found = await core.until((state) => look(until, state, core.name), signal);
  return found.exit;
}

interface Found {
  readonly exit: ExitInfo | undefined;
}

function look(
  until: 'exit' | 'running' | 'removed',
  state: ContainerState,
  container: string,
): Found | undefined {
  const exit = 'exit' in state ? state.exit : undefined;
  switch (until) {
    case 'removed':
      return state.status === 'removed' ? { exit } : undefined;
    case 'exit':
      if (exit !== undefined) return { exit };
      break;
    case 'running':
      if (state.status === 'running') return { exit: undefined };
      break;
  }
  if (state.status !== 'removed') return undefined;
  throw new CaissonError('ERR_CONTAINER_REMOVED', { container, action: 'wait for' });
}
