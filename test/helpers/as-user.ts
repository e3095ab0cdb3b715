import { execFile } from 'node:child_process';

/** The ordinary user that root becomes: Debian's and everybody's `nobody`. */
export const USER_ID = 65534;

export interface Finished {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; any exit resolves. */
export function finished(
  argv: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; timeoutMs?: number } = {},
): Promise<Finished> {
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      {
        env: options.env ?? process.env,
        cwd: options.cwd,
        timeout: options.timeoutMs ?? 60_000,
        maxBuffer: 64 << 20,
      },
      (error, stdout, stderr) => {
        // An exit status is a number; a word means that it could not be started.
        if (error !== null && typeof error.code === 'string') reject(new Error(error.message));
        else resolve({ exitCode: child.exitCode, signal: child.signalCode, stdout, stderr });
      },
    );
  });
}

/** The argv that runs `argv` as an ordinary user: itself for one, through setpriv for root. */
export function asUser(argv: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [...argv];
  return [
    'setpriv', `--reuid=${USER_ID}`, `--regid=${USER_ID}`, '--clear-groups',
    '--inh-caps=-all', '--bounding-set=-all', '--', ...argv,
  ]; // prettier-ignore
}

/** As asUser, but what it starts may have more rights: newuidmap needs two capabilities. */
export function asUserWithSetuid(): string[] {
  return asUser([]).filter((word) => !word.startsWith('--bounding-set'));
}
