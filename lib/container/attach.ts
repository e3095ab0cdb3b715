import type { Readable, Writable } from 'node:stream';
import { notYet } from '../errors/arguments.js';
import { parseSignal } from '../native/signals.js';
import type { ExitInfo } from './exit-info.js';
import { endOfLog } from './log-follower.js';
import { LogStream } from './log-stream.js';
import type { Process } from './process.js';
import type { Run } from './run-record.js';
import { assertCan } from './state.js';
import { killContainer } from './stop.js';
import type { Supervised } from './supervise.js';
import { AttachedTerminal, resizeTerminal } from './terminal.js';

/** Joins pid 1 of a running container: its output from now on, as its log has it. */
export async function attachTo(core: Supervised): Promise<Process> {
  const { state, plan, parts } = core;
  assertCan('attach to', state.status, core.name);
  if (plan.log.type === 'none') throw notYet("attach() with log: { type: 'none' }");
  const run = core.lastRun;
  if (run === undefined) throw new Error('a running container has a run');
  const path = parts.store.path('containers', core.id, 'log');
  const { files } = plan.log;
  const source = { path, files, at: await endOfLog(path, files), end: run.exited };
  const stdout = new LogStream(source, 'stdout');
  if (run.terminal !== null) {
    const screen = new AttachedTerminal(run.terminal, stdout);
    const stdin = plan.stdin === 'pipe' ? screen : null;
    return new AttachedProcess(core, run, { stdin, stdout: screen, stderr: null });
  }
  const stderr = new LogStream(source, 'stderr');
  return new AttachedProcess(core, run, { stdin: run.stdin, stdout, stderr });
}

type ProcessStreams = Pick<Process, 'stdin' | 'stdout' | 'stderr'>;

class AttachedProcess implements Process {
  readonly id: string;
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  readonly #core: Supervised;
  readonly #run: Run;
  #awaited = false;

  constructor(core: Supervised, run: Run, { stdin, stdout, stderr }: ProcessStreams) {
    this.id = core.id;
    this.pid = run.pid;
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.#core = core;
    this.#run = run;
  }

  get exited(): Promise<ExitInfo> {
    if (!this.#awaited) {
      this.#awaited = true;
      void this.#core.supervisor.keepAlive(this.#run.exited);
    }
    return this.#run.exited;
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    parseSignal(signal, 'signal');
    if (this.#core.lastRun !== this.#run || this.#core.state.status === 'exited') return;
    killContainer(this.#core, signal).catch(() => undefined); // it has ended meanwhile
  }

  resize(size: { columns: number; rows: number }): void {
    resizeTerminal(this.#run.terminal, size);
  }

  /** Lets go; the container runs on. */
  [Symbol.asyncDispose](): Promise<void> {
    this.stdout.destroy();
    this.stderr?.destroy();
    return Promise.resolve();
  }
}
