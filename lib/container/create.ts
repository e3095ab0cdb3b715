import { CaissonError, throwIfAborted } from '../errors/index.js';
import { resolveImage } from '../image/resolve.js';
import type { FailureContext } from '../native/failure.js';
import { Tag, Type } from '../native/protocol.js';
import { FieldWriter } from '../native/wire.js';
import type { Keeping, RuntimeParts } from '../runtime/parts.js';
import type { Supervisor } from '../runtime/supervisor.js';
import { partsOf } from '../runtime/runtime.js';
import { ContainerRecords, type ContainerConfig } from '../store/index.js';
import { findPeers } from './peers.js';
import { takeIds } from './auto-ids.js';
import { keepingOf } from './keeping.js';
import { planContainer } from './plan.js';
import { planHost } from './machine.js';
import { addSupervised } from './registry.js';
import { removeContainer } from './remove.js';
import { parseContainer, type ContainerRequest } from './request.js';
import { newContainerId } from './run.js';
import { NO_PEERS, sharesWithContainers } from './shared-namespaces.js';
import { startContainer } from './start.js';
import { specOfPlan } from './spec-of-plan.js';
import { toStored } from './stored-state.js';
import { Supervised } from './supervise.js';
import { stopwatch } from './timings.js';

/** Records only: no process, cgroup or namespace. */
export async function createContainer(options: unknown): Promise<Supervised> {
  const elapsed = stopwatch();
  const request = parseContainer(options);
  const requestMs = elapsed();
  throwIfAborted(request.signal);
  const parts = await partsOf(request.runtime, 'create a container');
  const image = await resolveImage(parts, request.image, request.signal);
  const resolveMs = elapsed();
  throwIfAborted(request.signal);

  const id = newContainerId();
  const peers = sharesWithContainers(request) ? await findPeers(parts, request) : NO_PEERS;
  const ids = request.security.userns === 'auto' ? await takeIds(parts, id) : undefined;
  let core: Supervised;
  try {
    const plan = planContainer(request, image, planHost(parts), id, peers, ids);
    const planMs = elapsed();
    const keeping = await keepingOf(parts, plan);
    throwIfAborted(request.signal);
    core = new Supervised(
      parts,
      keeping,
      recordOf(parts, keeping, request, image, id),
      plan,
      request.autoRemove,
      { requestMs, resolveMs, planMs },
      ids,
    );
    const recorded = record(core);
    parts.background(recorded);
    await core.supervisor.keepAlive(recorded);
  } catch (error) {
    await ids?.release();
    throw error;
  }
  core.timings = { ...core.timings, createMs: elapsed() };
  if (request.signal?.aborted === true) {
    await removeContainer(core, { force: true });
    throwIfAborted(request.signal);
  }
  parts.emit({ type: 'container.create', id, name: core.name, time: new Date() });
  return core;
}

/** A start that fails or is aborted leaves no container behind. */
export async function createAndStart(options: unknown): Promise<Supervised> {
  const core = await createContainer(options);
  const { signal } = options as { signal?: AbortSignal };
  try {
    await startContainer(core, signal);
    return core;
  } catch (error) {
    // The first error is the one that is told.
    await removeContainer(core, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Write the undo, then do the deed: the folder is registered before it is made. */
async function record(core: Supervised): Promise<void> {
  const { parts, supervisor, config, plan } = core;
  const folder = new FieldWriter(256)
    .string(Tag.folder, ContainerRecords.folderOf(core.id))
    .bytes();
  const context = { action: 'create', container: core.name };
  await supervisor.request(Type.register, folder, context);
  try {
    await parts.store.containers.create(config, specOfPlan(plan, parts), toStored(core.state));
  } catch (error) {
    await release(supervisor, folder, context);
    throw error;
  }
  if (supervisor.isLost) {
    // What stayed behind it undid when there was nothing yet.
    await parts.store.containers.discard(config);
    await release(supervisor, folder, context);
  }
  addSupervised(core);
}

/** Rejects when the supervisor is gone, and for nothing else: then that is why the record failed. */
async function release(
  supervisor: Supervisor,
  folder: Uint8Array,
  context: FailureContext,
): Promise<void> {
  await supervisor.request(Type.release, folder, context).catch((error: unknown) => {
    if (CaissonError.is(error, 'ERR_SUPERVISOR_LOST')) throw error;
  });
}

function recordOf(
  parts: RuntimeParts,
  { keeper }: Keeping,
  request: ContainerRequest,
  image: { readonly id: string; readonly layers: readonly string[] },
  id: string,
): ContainerConfig {
  return {
    version: 1,
    id,
    name: request.name ?? id.slice(0, 12),
    image: image.id,
    imageReference: typeof request.image === 'string' ? request.image : image.id,
    layers: image.layers,
    labels: { ...parts.labels, ...request.labels },
    createdAt: new Date().toISOString(),
    // The folder is that of who undoes it, the id that of the Runtime, for the reader.
    keeper: { runtimeId: parts.id, folder: keeper.folder },
    options: printable(request),
  };
}

/** What was asked, without what cannot be written down. */
function printable(request: ContainerRequest): unknown {
  const { runtime: _runtime, signal: _signal, image: _image, ...rest } = request;
  return rest;
}
