import { CaissonError } from '../errors/index.js';
import { remedyOf } from '../host/remedies.js';
import { Control, Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import { assertCan } from './state.js';
import type { Supervised } from './supervise.js';

/** Holds all of its processes still; resolves when they are. Calls take their turn. */
export function pauseContainer(core: Supervised): Promise<void> {
  return inTurn(core, async () => {
    core.parts.assertOpen('pause a container');
    assertCan('pause', core.state.status, core.name);
    assertFreezes(core, 'container.pause()');
    await setFrozen(core, Type.freeze, 'pause');
    const { state } = core;
    if (state.status === 'running') core.enter({ status: 'paused', run: state.run }, 'pause');
  });
}

/** Lets them go on. */
export function resumeContainer(core: Supervised): Promise<void> {
  return inTurn(core, async () => {
    assertCan('resume', core.state.status, core.name);
    await setFrozen(core, Type.thaw, 'resume');
    const { state } = core;
    if (state.status === 'paused') core.enter({ status: 'running', run: state.run }, 'resume');
  });
}

/** Freezes or thaws the run that goes on; one that has ended is neither. */
export async function setFrozen(
  core: Supervised,
  type: typeof Type.freeze | typeof Type.thaw,
  action: string,
): Promise<void> {
  const { state } = core;
  if (!('run' in state)) return;
  const body = new FieldWriter(64).u64(Tag.target, state.run.target).bytes();
  await core.supervisor.request(type, body, { action, container: core.name });
}

/** After what others do by pausing it, and before what comes later. */
export function inTurn<T>(core: Supervised, work: () => Promise<T>): Promise<T> {
  const turn = core.pausing.then(work);
  core.pausing = turn.then(
    () => undefined,
    () => undefined,
  );
  return turn;
}

/** `what` needs it; `otherwise` says what to do without. */
export function assertFreezes({ parts }: Supervised, what: string, otherwise = ''): void {
  if ((parts.controls & Control.freeze) !== 0) return;
  const cause = parts.mode === 'rootless' ? 'not-delegated' : 'no-controller';
  throw new CaissonError(
    'ERR_UNSUPPORTED',
    { what, reason: 'no cgroup that could be frozen is at hand' },
    { hint: [otherwise, remedyOf('freeze', cause)].filter(Boolean).join(' ') },
  );
}
