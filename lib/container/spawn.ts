import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { abortError, throwIfAborted } from '../errors/index.js';
import { CgroupMode, StdioKind, Type } from '../native/protocol.js';
import { checkOwnRuntime } from '../runtime/runtime.js';
import { parseSpawn } from './collect-request.js';
import { encodeExec } from './encode.js';
import { askedOf, runningIn } from './exec.js';
import { asAborted, exitInfo, type ExitInfo } from './exit-info.js';
import { openPipes, SpawnedProcess, terminalStreams, type Streams } from './spawned-process.js';
import type { Supervised } from './supervise.js';

/** Starts a command in a running container; its streams are kernel pipes, or a terminal. */
export async function spawnIn(
  core: Supervised,
  argv: unknown,
  options: unknown,
): Promise<SpawnedProcess> {
  const request = parseSpawn(argv, options);
  checkOwnRuntime(request.runtime, core.parts);
  const { signal } = request;
  throwIfAborted(signal);
  const run = runningIn(core, 'spawn in');
  const { tty } = request;
  const asked = askedOf(core, request, tty);
  const { parts, supervisor } = core;
  const pipes = tty === undefined ? openPipes(parts, request.stdin) : undefined;
  const stdin = request.stdin === 'ignore' ? StdioKind.null : StdioKind.descriptor;
  const body = encodeExec(run.target, core.plan, asked, {
    stdio:
      pipes === undefined
        ? [StdioKind.null, StdioKind.null, StdioKind.null]
        : [stdin, StdioKind.descriptor, StdioKind.descriptor],
    wantStarted: true,
  });

  const started = new Promise<SpawnedProcess>((resolve, reject) => {
    let tellEnd!: (exit: ExitInfo) => void;
    const exited = new Promise<ExitInfo>((end) => (tellEnd = end));
    const id = randomBytes(8).toString('hex');
    let startedMs = Date.now();
    let handedOut = false;
    let streams: Streams | undefined = pipes;
    const kill = (): void => {
      supervisor.killSoon(target);
    };
    const context = core.failureContext('spawn in', asked);
    const target = supervisor.launch(Type.exec, body, pipes?.remote ?? [], context, {
      started(pid, master = -1) {
        startedMs = Date.now();
        streams ??= terminalStreams(parts.binding, master, request.stdin);
        if (signal?.aborted === true) {
          kill(); // it came too late to be seen before the exec
          return;
        }
        const own = parts.cgroupMode === CgroupMode.none ? firstChildOf(pid) : pid;
        const process = new SpawnedProcess(supervisor, { id, pid: own, target, exited, streams });
        core.processes.set(id, process);
        handedOut = true;
        resolve(process);
      },
      exited(raw) {
        signal?.removeEventListener('abort', kill);
        core.processes.delete(id);
        const exit = exitInfo(raw, startedMs);
        const told = signal?.aborted === true ? asAborted(exit) : exit;
        if (!handedOut) {
          streams?.destroy();
          reject(signal === undefined ? new Error('it ended unseen') : abortError(signal, told));
        }
        streams?.processEnded();
        tellEnd(told);
      },
      failed(error) {
        signal?.removeEventListener('abort', kill);
        streams?.destroy();
        reject(signal?.aborted === true ? abortError(signal) : error);
      },
    });
    signal?.addEventListener('abort', kill, { once: true });
  });
  return await supervisor.keepAlive(started);
}

/**
 * Where there is no cgroup to find its tree by, a process has a subreaper above it, which is what the
 * supervisor holds. That has one child when it starts.
 */
function firstChildOf(pid: number): number {
  if (pid <= 0) return pid;
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return Number.parseInt(children, 10) || -1;
  } catch {
    return -1; // it has ended meanwhile
  }
}
