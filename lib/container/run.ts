import { randomFillSync } from 'node:crypto';
import { throwIfAborted } from '../errors/index.js';
import { useImage } from '../image/holds.js';
import { resolveImage } from '../image/resolve.js';
import { Type } from '../native/protocol.js';
import { partsOf } from '../runtime/runtime.js';
import { takeIds } from './auto-ids.js';
import { collectOutput, type ExecResult } from './collect.js';
import { encodeLaunch } from './encode.js';
import { pathOfItem } from './failure-paths.js';
import type { Encoding } from './options.js';
import { keepingOf } from './keeping.js';
import { findPeers, targetsOf } from './peers.js';
import { planContainer } from './plan.js';
import { planHost } from './machine.js';
import { parseRun } from './request.js';
import { NO_PEERS, sharesWithContainers } from './shared-namespaces.js';
import { searchPath } from './supervise.js';

/**
 * A container for one command: nothing is written down but the undo of its scratch folder, and its
 * removal goes on behind the result.
 */
export async function runContainer(
  image: unknown,
  argv: unknown,
  options: unknown,
): Promise<ExecResult<Encoding>> {
  const { container: request, collect } = parseRun(image, argv, options);
  throwIfAborted(request.signal);
  const parts = await partsOf(request.runtime, 'run a container');
  const resolved = await resolveImage(parts, request.image, request.signal);
  throwIfAborted(request.signal);

  const shares = sharesWithContainers(request);
  const peers = shares ? await findPeers(parts, request) : NO_PEERS;
  const id = newContainerId();
  const ids = request.security.userns === 'auto' ? await takeIds(parts, id) : undefined;
  let ended: (() => void) | undefined;
  try {
    const plan = planContainer(request, resolved, planHost(parts), id, peers, ids);
    const targets = shares ? { peers: targetsOf(parts, plan) } : {};
    ended = useImage(parts, resolved);
    const { supervisor } = await keepingOf(parts, plan);
    return await collectOutput(parts, supervisor, {
      type: Type.launch,
      encode: (stdio) =>
        encodeLaunch(plan, { stdio, wantStarted: false, warmPool: true, ...targets }),
      collect,
      signal: request.signal,
      context: {
        action: 'run',
        argv0: plan.oci.process.args[0] ?? '',
        searched: searchPath(plan.oci.process.env),
        user: plan.user,
        pathOf: (step, index) => pathOfItem(plan, step, index),
      },
    });
  } finally {
    ended?.();
    if (ids !== undefined) await ids.release();
  }
}

const ID_BYTES = 32;
/** One call of the system's generator costs as much for many ids as for one. */
const unused = Buffer.alloc(64 * ID_BYTES);
let next = unused.length;

/** 64 hexadecimal digits, as Docker's. */
export function newContainerId(): string {
  if (next === unused.length) {
    randomFillSync(unused);
    next = 0;
  }
  next += ID_BYTES;
  return unused.toString('hex', next - ID_BYTES, next);
}
