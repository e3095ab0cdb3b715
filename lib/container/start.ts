import { Socket } from 'node:net';
import { abortError, CaissonError, throwIfAborted } from '../errors/index.js';
import { StdioKind, Type } from '../native/protocol.js';
import type { RawExit } from '../runtime/raw-exit.js';
import { ContainerRecords } from '../store/index.js';
import { encodeLaunch } from './encode.js';
import { exitInfo, type ExitInfo } from './exit-info.js';
import { targetsOf } from './peers.js';
import { removeBehind } from './remove.js';
import type { Run } from './run-record.js';
import { assertCan, type ContainerState } from './state.js';
import type { Supervised } from './supervise.js';
import { Terminal } from './terminal.js';
import { stopwatch } from './timings.js';

/**
 * Starts a created or exited container, and resolves when its program runs. An abort kills what has
 * begun and rejects when that is gone; the container is then as it was before.
 */
export async function startContainer(core: Supervised, signal?: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  while (core.still !== undefined) await core.still;
  throwIfAborted(signal);
  core.parts.assertOpen('start a container');
  assertCan('start', core.state.status, core.name);
  if (core.removing !== undefined) {
    throw new CaissonError('ERR_CONTAINER_REMOVED', { container: core.name, action: 'start' });
  }
  const elapsed = stopwatch();
  const work = launch(core, signal);
  core.starting = work.then(
    () => undefined,
    () => undefined,
  );
  try {
    await core.supervisor.keepAlive(work);
    core.timings = { ...core.timings, startMs: elapsed() };
  } finally {
    core.starting = undefined;
  }
}

function launch(core: Supervised, signal: AbortSignal | undefined): Promise<void> {
  const { parts, plan, supervisor } = core;
  const before = core.state;
  const peers = targetsOf(parts, plan);
  const { stdin, fds, kinds } = openStdio(core);
  const folder = ContainerRecords.folderOf(core.id);
  const body = encodeLaunch(plan, {
    folder,
    logPath: `${folder}/log`,
    stdio: kinds,
    wantStarted: true,
    warmPool: false,
    peers,
  });

  return new Promise<void>((resolve, reject) => {
    let tellEnd!: (exit: ExitInfo) => void;
    const exited = new Promise<ExitInfo>((end) => (tellEnd = end));
    let startedMs = Date.now();
    let terminal: Terminal | null = null;
    const kill = (): void => {
      supervisor.killSoon(target);
    };
    core.enter({ status: 'starting' });
    const { args, env, cwd } = plan.oci.process;
    const context = core.failureContext('start', { argv: args, env, cwd, user: plan.user });
    const target = supervisor.launch(Type.launch, body, fds, context, {
      started(pid, master) {
        startedMs = Date.now();
        if (master !== undefined) terminal = new Terminal(parts.binding, master);
        if (signal?.aborted === true) kill(); // it came too late to be seen before the exec
        const run: Run = { target, pid, startedAt: new Date(startedMs), exited, stdin, terminal };
        if (signal?.aborted !== true) resolve();
        core.enter({ status: 'running', run }, 'start');
      },
      oomKilled() {
        core.announce('oom');
      },
      exited(raw: RawExit) {
        signal?.removeEventListener('abort', kill);
        stdin?.destroy();
        terminal?.close();
        const exit = exitInfo(raw, startedMs);
        tellEnd(exit);
        core.stopping = undefined;
        if (signal?.aborted === true) reject(abortError(signal, exit));
        else resolve();
        if (core.autoRemove) removeBehind(core);
        core.enter({ status: 'exited', exit }, 'exit');
      },
      failed(error) {
        signal?.removeEventListener('abort', kill);
        stdin?.destroy();
        reject(signal?.aborted === true ? abortError(signal) : error);
        core.enter(asBefore(before));
      },
    });
    signal?.addEventListener('abort', kill, { once: true });
  });
}

/** A failed start leaves the container as it was: created, or exited with its last exit. */
const asBefore = (before: ContainerState): ContainerState =>
  before.status === 'exited' ? before : { status: 'created' };

interface Stdio {
  readonly stdin: Socket | null;
  readonly fds: readonly number[];
  readonly kinds: readonly [StdioKind, StdioKind, StdioKind];
}

/** Its output goes to its log; its stdin is empty, a pipe whose other end is kept for `attach`, or a terminal. */
function openStdio({ plan, parts }: Supervised): Stdio {
  const output = plan.log.type === 'none' ? StdioKind.null : StdioKind.log;
  if (plan.oci.process.terminal || plan.stdin === 'ignore') {
    const stderr = plan.oci.process.terminal ? StdioKind.null : output;
    return { stdin: null, fds: [], kinds: [StdioKind.null, output, stderr] };
  }
  const { local, remote } = parts.binding.pipe('toChild');
  const stdin = new Socket({ fd: local, readable: false, writable: true });
  // Its reader may end first, which is no error of this program's.
  stdin.on('error', () => undefined);
  stdin.unref();
  return { stdin, fds: [remote], kinds: [StdioKind.descriptor, output, output] };
}
