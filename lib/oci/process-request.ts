import {
  checkAbsolutePath,
  checkBoolean,
  checkInteger,
  checkString,
  invalid,
  type Bag,
} from '../errors/arguments.js';
import { parseCapabilities } from '../container/capabilities.js';
import type { OciProcess, OciRlimit } from '../container/oci-spec.js';
import { parseAppArmor, parseSelinux } from '../container/label-request.js';
import { parseArgv } from '../container/process-request.js';
import { isRlimit } from '../container/rlimits.js';
import { DEFAULT_SIZE, MOST_CELLS } from '../container/terminal-request.js';
import { MAX_ID } from '../host/subordinate-ids.js';
import { items, labelOf, refuse, section, texts } from './config-checks.js';

const MAX_MASK = 0o777;
/** 2^64-1 is no JavaScript number: what JSON.parse makes of it. */
const UNLIMITED = 2 ** 64;

export interface ProcessAsked {
  readonly process: OciProcess;
  readonly additionalGids: readonly number[];
}

export function parseOciProcess(value: unknown): ProcessAsked {
  if (value === undefined || value === null) {
    throw invalid('process', 'must be there: a container without one cannot be started');
  }
  const bag = section(value, 'process');
  refuse(bag, 'process', ['execCPUAffinity', 'ioPriority', 'scheduler']);
  const { user, additionalGids } = parseUser(bag['user']);
  const args = items(bag['args'], 'process.args');
  if (args.length === 0) throw invalid('process.args', 'must have at least one argument');
  const { oomScoreAdj } = bag;
  return {
    additionalGids,
    process: {
      ...parseTerminal(bag),
      user,
      args: parseArgv(args, 'process.args'),
      env: texts(bag['env'], 'process.env'),
      cwd: checkAbsolutePath(bag['cwd'], 'process.cwd'),
      capabilities: parseSets(bag['capabilities']),
      rlimits: parseRlimits(bag['rlimits']),
      ...(oomScoreAdj === undefined || oomScoreAdj === null
        ? {}
        : { oomScoreAdj: checkInteger(oomScoreAdj, 'process.oomScoreAdj', -1000, 1000) }),
      ...labelOf(bag, 'process', 'apparmorProfile', parseAppArmor),
      ...labelOf(bag, 'process', 'selinuxLabel', parseSelinux),
      noNewPrivileges: checkBoolean(bag['noNewPrivileges'] ?? false, 'process.noNewPrivileges'),
    },
  };
}

/** The spec has no size without `consoleSize`: then it is that of other terminals here. */
function parseTerminal(bag: Bag): Pick<OciProcess, 'terminal' | 'consoleSize'> {
  if (!checkBoolean(bag['terminal'] ?? false, 'process.terminal')) return { terminal: false };
  const size = section(bag['consoleSize'], 'process.consoleSize');
  const side = (name: string, otherwise: number): number =>
    checkInteger(size[name] ?? otherwise, `process.consoleSize.${name}`, 1, MOST_CELLS);
  return {
    terminal: true,
    consoleSize: {
      height: side('height', DEFAULT_SIZE.rows),
      width: side('width', DEFAULT_SIZE.columns),
    },
  };
}

function parseUser(value: unknown): {
  user: OciProcess['user'];
  additionalGids: readonly number[];
} {
  const bag = section(value, 'process.user');
  const id = (name: string): number =>
    checkInteger(bag[name] ?? 0, `process.user.${name}`, 0, MAX_ID);
  return {
    user: {
      uid: id('uid'),
      gid: id('gid'),
      umask: checkInteger(bag['umask'] ?? 0o022, 'process.user.umask', 0, MAX_MASK),
    },
    additionalGids: items(bag['additionalGids'], 'process.user.additionalGids').map((gid, index) =>
      checkInteger(gid, `process.user.additionalGids[${index}]`, 0, MAX_ID),
    ),
  };
}

/** Absent: none at all. */
function parseSets(value: unknown): OciProcess['capabilities'] {
  const bag = section(value, 'process.capabilities');
  const set = (name: string): readonly string[] =>
    parseCapabilities(
      items(bag[name], `process.capabilities.${name}`),
      `process.capabilities.${name}`,
    ).map((capability) => `CAP_${capability}`);
  return {
    bounding: set('bounding'),
    effective: set('effective'),
    permitted: set('permitted'),
    inheritable: set('inheritable'),
    ambient: set('ambient'),
  };
}

function parseRlimits(value: unknown): readonly OciRlimit[] {
  const seen = new Set<string>();
  return items(value, 'process.rlimits').map((item, index) => {
    const option = `process.rlimits[${index}]`;
    const bag = section(item, option);
    const type = checkString(bag['type'], `${option}.type`);
    if (!type.startsWith('RLIMIT_') || !isRlimit(type.slice(7).toLowerCase())) {
      throw invalid(`${option}.type`, `no such limit: ${JSON.stringify(type)}`);
    }
    if (seen.has(type)) throw invalid(`${option}.type`, `${type} is there twice`);
    seen.add(type);
    const soft = parseLimit(bag['soft'], `${option}.soft`);
    const hard = parseLimit(bag['hard'], `${option}.hard`);
    if (hard !== -1 && (soft === -1 || soft > hard)) {
      throw invalid(option, 'the soft limit must not be above the hard one');
    }
    return { type, soft, hard };
  });
}

function parseLimit(value: unknown, option: string): number {
  if (typeof value === 'number' && value >= UNLIMITED) return -1;
  return checkInteger(value, option, 0);
}
