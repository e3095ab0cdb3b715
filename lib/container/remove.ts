import { CaissonError } from '../errors/index.js';
import { checkBag, checkBoolean, notYet } from '../errors/arguments.js';
import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import { ContainerRecords } from '../store/index.js';
import type { ExitInfo } from './exit-info.js';
import { endReadings } from './readings.js';
import { endContainersWith, supervisedOf } from './registry.js';
import { assertCan } from './state.js';
import { killAndWait } from './stop.js';
import type { Supervised } from './supervise.js';

const KEYS: ReadonlySet<string> = new Set(['force', 'volumes']);

export function parseRemove(value: unknown): { readonly force: boolean } {
  const options = value === undefined ? {} : checkBag(value, 'options', KEYS);
  if (checkBoolean(options['volumes'] ?? false, 'volumes')) throw notYet('remove({ volumes })');
  return { force: checkBoolean(options['force'] ?? false, 'force') };
}

/** Takes a container away with all it wrote. Calls share one outcome; removing twice is silent. */
export function removeContainer(
  core: Supervised,
  { force }: { readonly force: boolean },
): Promise<void> {
  if (core.removing !== undefined) return core.removing;
  if (!force && core.starting === undefined) assertCan('remove', core.state.status, core.name);
  if (core.state.status === 'removed') return Promise.resolve();
  const work = remove(core, force);
  core.removing = work;
  // A removal that failed may be tried again.
  work.catch(() => (core.removing = undefined));
  core.parts.background(work);
  return core.supervisor.keepAlive(work);
}

async function remove(core: Supervised, force: boolean): Promise<void> {
  await core.starting;
  if (force) await killAndWait(core);
  else assertCan('remove', core.state.status, core.name);
  await endReadings(core);
  await core.saved();

  await removeRecords(core);
  await core.ids?.release();
  supervisedOf(core.parts).delete(core.id);
  core.enter({ status: 'removed', exit: lastExit(core) }, 'remove');
  core.emitter.removeAllListeners();
}

/** First the folder, then the name: nobody may find a name that leads nowhere. */
async function removeRecords(core: Supervised): Promise<void> {
  const { parts, supervisor } = core;
  const body = new FieldWriter(256).string(Tag.folder, ContainerRecords.folderOf(core.id)).bytes();
  try {
    await supervisor.request(Type.remove, body, {
      action: 'remove',
      container: core.name,
    });
  } catch (error) {
    if (!CaissonError.is(error, 'ERR_SUPERVISOR_LOST')) throw error;
    await parts.store.containers.discard(core.config);
    return;
  }
  await parts.store.containers.names.release(core.name, core.id);
}

/** For `autoRemove`: nobody waits for it, and `close` does. */
export function removeBehind(core: Supervised): void {
  queueMicrotask(() => {
    removeContainer(core, { force: true }).catch(() => undefined); // the end of the runtime tries again
  });
}

function lastExit({ state }: Supervised): ExitInfo | undefined {
  return 'exit' in state ? state.exit : undefined;
}

/** Whoever stays behind when a supervisor dies undoes everything but what was written after. */
async function forget(core: Supervised): Promise<void> {
  if (core.removing !== undefined) return;
  core.removing = core.parts.store.containers.discard(core.config);
  supervisedOf(core.parts).delete(core.id);
  core.enter({ status: 'removed', exit: lastExit(core) }, 'remove');
  core.emitter.removeAllListeners();
  await core.removing;
  await core.ids?.release();
}

endContainersWith({ remove: (core) => removeContainer(core, { force: true }), forget });
