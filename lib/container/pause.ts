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
    assertFreezes(core);
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

function inTurn(core: Supervised, work: () => Promise<void>): Promise<void> {
  const turn = core.pausing.then(work);
  core.pausing = turn.catch(() => undefined);
  return turn;
}

function assertFreezes({ parts }: Supervised): void {
  if ((parts.controls & Control.freeze) !== 0) return;
  const cause = parts.mode === 'rootless' ? 'not-delegated' : 'no-controller';
  throw new CaissonError(
    'ERR_UNSUPPORTED',
    { what: 'container.pause()', reason: 'no cgroup that could be frozen is at hand' },
    { hint: remedyOf('freeze', cause) },
  );
}
