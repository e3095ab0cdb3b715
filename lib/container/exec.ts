import { Type } from '../native/protocol.js';
import { checkOwnRuntime } from '../runtime/runtime.js';
import { grantCapabilities } from './capabilities.js';
import { collectOutput, type ExecResult } from './collect.js';
import { parseExec, type JoinRequest } from './collect-request.js';
import { encodeExec, type ExecAsked } from './encode.js';
import type { Encoding } from './options.js';
import { checkArgumentSize } from './process-request.js';
import { planHost } from './machine.js';
import type { Run } from './run-record.js';
import { parseSecurity } from './security-request.js';
import { assertCan } from './state.js';
import type { Supervised } from './supervise.js';
import { withTerm, type TerminalSize } from './terminal-request.js';

/** Runs a command in a running container and collects what it prints. */
export async function execIn(
  core: Supervised,
  argv: unknown,
  options: unknown,
): Promise<ExecResult<Encoding>> {
  const request = parseExec(argv, options);
  checkOwnRuntime(request.runtime, core.parts);
  const run = runningIn(core, 'exec in');
  const asked = askedOf(core, request);
  return await collectOutput(core.parts, core.supervisor, {
    type: Type.exec,
    encode: (stdio) => encodeExec(run.target, core.plan, asked, { stdio, wantStarted: false }),
    collect: request.collect,
    signal: request.signal,
    context: core.failureContext('exec in', asked),
  });
}

/** The run that a new process is to join. */
export function runningIn(core: Supervised, verb: 'exec in' | 'spawn in'): Run {
  const { state } = core;
  core.parts.assertOpen(`${verb} a container`);
  assertCan(verb, state.status, core.name);
  if (!('run' in state)) throw new Error('a running container has a run');
  return state.run;
}

const PRIVILEGED = parseSecurity('privileged');

/** What was asked for, over what the container has. */
export function askedOf(
  core: Supervised,
  { argv, process, privileged }: JoinRequest,
  terminal?: TerminalSize,
): ExecAsked {
  const own = core.plan.oci.process;
  const env = withTerm(mergeEnv(own.env, process.env), terminal);
  const host = planHost(core.parts);
  checkArgumentSize(argv, env, host.stackBytes);
  return {
    argv,
    env,
    cwd: process.cwd ?? own.cwd,
    user: process.user ?? core.plan.user,
    timeoutMs: process.timeoutMs,
    capabilities: privileged ? grantCapabilities(PRIVILEGED, host) : undefined,
    terminal,
  };
}

function mergeEnv(
  own: readonly string[],
  asked: Readonly<Record<string, string>>,
): readonly string[] {
  const names = Object.keys(asked);
  if (names.length === 0) return own;
  const kept = own.filter((entry) => !(entry.slice(0, entry.indexOf('=')) in asked));
  return [...kept, ...names.map((name) => `${name}=${asked[name] ?? ''}`)];
}
