import {
  checkBag,
  checkBoolean,
  checkLabels,
  checkName,
  checkOneOf,
  checkSignal,
  invalid,
  kindOf,
  type Bag,
} from '../errors/arguments.js';
import type { Image } from '../image/image.js';
import { checkCgroupParent } from '../runtime/cgroup-parent.js';
import { parseCollect, type CollectRequest } from './collect-request.js';
import { refuseLaterOptions } from './later-request.js';
import { parseLimits, type LimitsRequest } from './limits-request.js';
import { parseLog, type LogAsked } from './log-request.js';
import { parseMounts, type MountAsked } from './mount-request.js';
import {
  parseDns,
  parseExtraHosts,
  parseNetwork,
  type Dns,
  type NetworkAsked,
} from './network-request.js';
import type { ContainerOptions, ExecOptions, RunOptions } from './options.js';
import { parseArgv, parseProcess, type ProcessRequest } from './process-request.js';
import { parseSecurity, type SecurityRequest } from './security-request.js';
import { parseTty, type TerminalSize } from './terminal-request.js';

/** A container as asked for: complete, typed, nothing resolved yet. */
export interface ContainerRequest {
  readonly image: string | Image;
  readonly name: string | undefined;
  readonly argv: readonly string[] | undefined;
  readonly entrypoint: readonly string[] | undefined;
  readonly process: ProcessRequest;
  readonly tty: TerminalSize | undefined;
  readonly init: boolean;
  readonly stdin: 'pipe' | 'ignore';
  readonly hostname: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly mounts: readonly MountAsked[];
  readonly network: NetworkAsked;
  readonly dns: Dns | undefined;
  readonly extraHosts: Readonly<Record<string, string>>;
  readonly limits: LimitsRequest;
  readonly cgroupParent: string | undefined;
  readonly security: SecurityRequest;
  readonly log: LogAsked;
  readonly autoRemove: boolean;
  readonly runtime: unknown;
  readonly signal: AbortSignal | undefined;
}

export interface RunRequest {
  readonly container: ContainerRequest;
  readonly collect: CollectRequest;
}

const CONTAINER_KEYS: Record<keyof ContainerOptions, true> = {
  image: true,
  name: true,
  argv: true,
  entrypoint: true,
  env: true,
  cwd: true,
  user: true,
  tty: true,
  stdin: true,
  init: true,
  hostname: true,
  labels: true,
  mounts: true,
  networks: true,
  publish: true,
  egress: true,
  dns: true,
  extraHosts: true,
  limits: true,
  cgroupParent: true,
  security: true,
  health: true,
  ready: true,
  restart: true,
  log: true,
  timeoutMs: true,
  detached: true,
  autoRemove: true,
  files: true,
  runtime: true,
  signal: true,
};
const CONTAINER: ReadonlySet<string> = new Set(Object.keys(CONTAINER_KEYS));

type NotInRun = Exclude<keyof ContainerOptions, keyof RunOptions>;
const NOT_IN_RUN: Record<NotInRun, string> = {
  image: 'run takes the image as its first argument',
  argv: 'run takes argv as its second argument',
  detached: 'run ends with its process',
  restart: 'run ends with its process',
  ready: 'run has no use for it: it resolves at the end',
  tty: 'run collects output; use start or spawn for a terminal',
  stdin: 'run takes all of its stdin as `input`',
  autoRemove: 'run always removes',
  log: 'run gives its output to the caller',
};
const RUN: ReadonlySet<string> = new Set([
  ...[...CONTAINER].filter((key) => !(key in NOT_IN_RUN)),
  ...(['input', 'maxOutputBytes', 'encoding', 'check'] satisfies (keyof ExecOptions)[]),
]);

const NO_OPTIONS: Bag = Object.freeze({});

/** What `create`, `start` and `getOrCreate` are given. */
export function parseContainer(value: unknown): ContainerRequest {
  const options = checkBag(value, 'options', CONTAINER);
  refuseLaterOptions(options);
  return containerRequest(options, options['image'], options['argv']);
}

/** What `run` is given. */
export function parseRun(image: unknown, argv: unknown, value: unknown): RunRequest {
  const options = value === undefined ? NO_OPTIONS : refuseInRun(value);
  refuseLaterOptions(options);
  return { container: containerRequest(options, image, argv), collect: parseCollect(options) };
}

function refuseInRun(value: unknown): Bag {
  if (typeof value === 'object' && value !== null) {
    for (const [key, reason] of Object.entries(NOT_IN_RUN)) {
      if (key in value) throw invalid(key, reason);
    }
  }
  return checkBag(value, 'options', RUN);
}

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});
const NO_MOUNTS: readonly MountAsked[] = Object.freeze([]);

function containerRequest(options: Bag, image: unknown, argv: unknown): ContainerRequest {
  const { entrypoint, hostname, labels, mounts, name } = options;
  const list = (value: unknown, option: string): readonly string[] | undefined =>
    value === undefined ? undefined : parseArgv(value, option);
  const tty = parseTty(options['tty']);
  return {
    image: parseImage(image),
    name: name === undefined ? undefined : parseContainerName(name),
    argv: list(argv, 'argv'),
    entrypoint: list(entrypoint, 'entrypoint'),
    process: parseProcess(options),
    tty,
    init: checkBoolean(options['init'] ?? false, 'init'),
    // A terminal is there to be typed on.
    stdin: checkOneOf(options['stdin'] ?? (tty === undefined ? 'ignore' : 'pipe'), 'stdin', [
      'pipe',
      'ignore',
    ]),
    hostname: hostname === undefined ? undefined : parseHostname(hostname),
    labels: labels === undefined ? NO_LABELS : checkLabels(labels, 'labels'),
    mounts: mounts === undefined ? NO_MOUNTS : parseMounts(mounts),
    network: parseNetwork(options['networks']),
    dns: parseDns(options['dns']),
    extraHosts: parseExtraHosts(options['extraHosts']),
    limits: parseLimits(options['limits']),
    cgroupParent:
      options['cgroupParent'] === undefined
        ? undefined
        : checkCgroupParent(options['cgroupParent'], 'cgroupParent'),
    security: parseSecurity(options['security']),
    log: parseLog(options['log']),
    autoRemove: checkBoolean(options['autoRemove'] ?? false, 'autoRemove'),
    runtime: options['runtime'],
    signal: checkSignal(options['signal'], 'signal'),
  };
}

function parseImage(value: unknown): string | Image {
  if (typeof value === 'string') return checkName(value, 'image');
  // Whether it is an Image, and whose, is seen when it is resolved.
  if (typeof value === 'object' && value !== null) return value as Image;
  throw invalid('image', `must be an Image or the name of one, not ${kindOf(value)}`);
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export function parseContainerName(value: unknown): string {
  const name = checkName(value, 'name');
  if (!NAME.test(name) || name.length > 128) {
    throw invalid(
      'name',
      'must be of letters, digits and _.-, begin with a letter or digit and have at most 128 characters',
    );
  }
  return name;
}

const HOSTNAME =
  /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/;

function parseHostname(value: unknown): string {
  const hostname = checkName(value, 'hostname');
  // sethostname(2) takes 64, and DNS 63 a label: the shorter one, as Docker does.
  if (hostname.length > 63 || !HOSTNAME.test(hostname)) {
    throw invalid(
      'hostname',
      'must be of letters, digits and -, in parts divided by dots, with at most 63 characters',
    );
  }
  return hostname;
}
