import { execFile } from 'node:child_process';

import { defaultMode } from './facts.js';
import { holesOf, upstreamVersion } from './known-kernels.js';
import { remedyFor } from './remedies.js';

/** One thing a container needs of this machine, or would like to have. */
export interface HostItem {
  /** Permanent; docs/host.md has a section for each. */
  readonly id: string;
  /** False when it is missing, also when only some features miss it (`level` is `'note'` then). */
  readonly ok: boolean;
  /** `'fail'`: no container can run. `'note'`: containers run, with less. */
  readonly level: 'ok' | 'note' | 'fail';
  /** What was found, for people. */
  readonly detail: string;
  /** What to do about it; null when it is ok. */
  readonly fix: string | null;
}

export interface HostReport {
  /** True when nothing is missing that every container needs. */
  readonly ok: boolean;
  readonly items: readonly HostItem[];
}

export interface CheckHostOptions {
  /** Where the supervisor lies, or how to find out: what that throws becomes an item. */
  readonly supervisor: string | (() => string);
  readonly root: string;
  readonly runDir: string;
  /** @defaultValue by the effective user */
  readonly mode?: 'root' | 'rootless' | undefined;
  readonly cgroupParent?: string | undefined;
  /** @defaultValue 20_000; usually it takes 20. */
  readonly timeoutMs?: number | undefined;
}

interface Context {
  readonly supervisor: string;
  readonly root: string;
  readonly runDir: string;
}

/**
 * Tries everything on this machine, in processes of its own that leave nothing behind. Never rejects:
 * what goes wrong with the check itself is an item too.
 */
export async function checkHost(options: CheckHostOptions): Promise<HostReport> {
  const { root, runDir } = options;
  let supervisor = '';
  const items: HostItem[] = [];
  try {
    if (process.platform !== 'linux') {
      items.push(
        missing('platform', 'not-linux', `this is ${process.platform}`, {
          supervisor,
          root,
          runDir,
        }),
      );
      return { ok: false, items };
    }
    supervisor = typeof options.supervisor === 'string' ? options.supervisor : options.supervisor();
    const context = { supervisor, root, runDir };
    const answer = await runSupervisor(context, options);
    items.push(...parseItems(answer.output, context));
    if (answer.trouble !== null) {
      items.push(missing(answer.trouble.id, answer.trouble.cause, answer.trouble.detail, context));
    }
    items.push(kernelItem(context));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    items.push(missing('supervisor', 'native-missing', detail, { supervisor, root, runDir }));
  }
  return { ok: items.every((item) => item.level !== 'fail'), items };
}

/** The supervisor's lines as items; what is not such a line is left out. @internal */
export function parseItems(output: string, context: Context): HostItem[] {
  return output.split('\n').flatMap((line): HostItem[] => {
    const [id, level, cause, errno, detail] = line.split('\t');
    if (id === undefined || detail === undefined || errno === undefined || cause === undefined)
      return [];
    if (level === 'ok') return [{ id, ok: true, level, detail, fix: null }];
    if (level !== 'note' && level !== 'fail') return [];
    const fix = remedyFor({ id, cause: cause === '-' ? null : cause, ...context });
    return [{ id, ok: false, level, detail: errno === '-' ? detail : `${detail} (${errno})`, fix }];
  });
}

function missing(id: string, cause: string, detail: string, context: Context): HostItem {
  return { id, ok: false, level: 'fail', detail, fix: remedyFor({ id, cause, ...context }) };
}

function kernelItem(context: Context): HostItem {
  const upstream = upstreamVersion();
  if (upstream === null) {
    return {
      id: 'kernel',
      ok: true,
      level: 'ok',
      detail: "a distribution's kernel: keep it updated",
      fix: null,
    };
  }
  const holes = holesOf(upstream);
  if (holes.length === 0)
    return { id: 'kernel', ok: true, level: 'ok', detail: upstream, fix: null };
  const detail = `${upstream}, by its number, has ${holes.join(', ')}`;
  return { ...missing('kernel', 'known-holes', detail, context), level: 'note' };
}

interface Answer {
  readonly output: string;
  readonly trouble: { readonly id: string; readonly cause: string; readonly detail: string } | null;
}

function runSupervisor(context: Context, options: CheckHostOptions): Promise<Answer> {
  const { timeoutMs = 20_000, mode = defaultMode(), cgroupParent } = options;
  const args = ['check', '--root', context.root, '--run', context.runDir, '--mode', mode];
  if (cgroupParent !== undefined) args.push('--cgroup-parent', cgroupParent);
  return new Promise((resolve) => {
    let output = '';
    let stopped = false;
    const stop = (signal: NodeJS.Signals): void => {
      stopped = true;
      child.kill(signal);
    };
    const settle = (error: Error | null): void => {
      timers.forEach(clearTimeout);
      resolve({ output, trouble: error === null ? null : troubleOf(error) });
    };
    const troubleOf = (error: Error): Answer['trouble'] => {
      const last = output.trimEnd().split('\n').at(-1)?.split('\t')[0] ?? '';
      const where = last === '' ? '' : ` after ${last}`;
      if (stopped) {
        const detail = `the check was stopped after ${timeoutMs} ms${where}`;
        return { id: 'check', cause: 'timeout', detail };
      }
      const code = (error as NodeJS.ErrnoException).code;
      if (typeof code === 'string') {
        const cause = code === 'ENOENT' ? 'native-missing' : 'not-executable';
        return { id: 'supervisor', cause, detail: error.message };
      }
      const how = child.signalCode ?? `status ${child.exitCode}`;
      return { id: 'check', cause: 'died', detail: `the check ended with ${how}${where}` };
    };
    // SIGTERM first: the check then removes its scratch folders. A trial that cannot be killed must not
    // hold the caller up.
    const timers = [
      setTimeout(() => stop('SIGTERM'), timeoutMs),
      setTimeout(() => stop('SIGKILL'), timeoutMs + 1_000),
      setTimeout(() => settle(new Error('it cannot be killed')), timeoutMs + 2_000),
    ];
    const child = execFile(
      context.supervisor,
      args,
      { env: {}, encoding: 'utf8', maxBuffer: 1 << 20 },
      settle,
    );
    child.stdout?.on('data', (text: string) => (output += text));
  });
}
