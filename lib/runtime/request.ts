import {
  checkAbsolutePath,
  checkArray,
  checkBag,
  checkLabels,
  checkOneOf,
  checkSignal,
  checkString,
  invalid,
  notYet,
} from '../errors/arguments.js';
import { checkCgroupParent } from './cgroup-parent.js';
import type { CloseOptions, EventsOptions, RuntimeOptions } from './options.js';
import type { Mode } from './parts.js';
import { parseRegistries, type RegistrySettings } from './registries-request.js';

export interface OpenRequest {
  readonly root: string | undefined;
  readonly runDir: string | undefined;
  readonly mode: 'auto' | Mode;
  readonly cgroupParent: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly registries: readonly RegistrySettings[];
  readonly signal: AbortSignal | undefined;
}

const keys = <T>(table: Record<keyof T, true>): ReadonlySet<string> => new Set(Object.keys(table));

const OPEN = keys<Required<RuntimeOptions>>({
  root: true,
  runDir: true,
  mode: true,
  registries: true,
  cgroupParent: true,
  labels: true,
  lease: true,
  signal: true,
});
const CLOSE = keys<Required<CloseOptions>>({ containers: true });
const CHECK: ReadonlySet<string> = new Set(['mode']);
const EVENTS = keys<Required<EventsOptions>>({ since: true, filter: true, signal: true });

const MODES = ['auto', 'root', 'rootless'] as const;

export function parseOpen(value: unknown): OpenRequest {
  const options = value === undefined ? {} : checkBag(value, 'options', OPEN);
  const { root, runDir, cgroupParent, lease, registries } = options;
  const path = (given: unknown, option: string): string | undefined =>
    given === undefined ? undefined : checkFolder(given, option);
  if (lease !== undefined && checkOneOf(lease, 'lease', ['process', 'none']) === 'none') {
    throw notYet("lease: 'none'");
  }
  return {
    root: path(root, 'root'),
    runDir: path(runDir, 'runDir'),
    mode: checkOneOf(options['mode'] ?? 'auto', 'mode', MODES),
    cgroupParent:
      cgroupParent === undefined ? '/caisson' : checkCgroupParent(cgroupParent, 'cgroupParent'),
    labels: { ...checkLabels(options['labels'] ?? {}, 'labels') },
    registries: parseRegistries(registries, 'registries'),
    signal: checkSignal(options['signal'], 'signal'),
  };
}

export function parseCheck(value: unknown): { mode?: Mode } {
  const options = value === undefined ? {} : checkBag(value, 'options', CHECK);
  if (options['mode'] === undefined) return {};
  return { mode: checkOneOf(options['mode'], 'mode', ['root', 'rootless']) };
}

export function parseClose(value: unknown): void {
  const options = value === undefined ? {} : checkBag(value, 'options', CLOSE);
  const containers = checkOneOf(options['containers'] ?? 'stop', 'containers', ['keep', 'stop']);
  if (containers === 'keep') throw notYet("close({ containers: 'keep' })");
}

export interface EventsRequest {
  readonly types: ReadonlySet<string> | undefined;
  readonly id: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export function parseEvents(value: unknown): EventsRequest {
  const options = value === undefined ? {} : checkBag(value, 'options', EVENTS);
  if (options['since'] !== undefined) throw notYet('events({ since })');
  const filter =
    options['filter'] === undefined
      ? {}
      : checkBag(options['filter'], 'filter', new Set(['type', 'id']));
  const { type, id } = filter;
  const types =
    type === undefined ? undefined : typeof type === 'string' ? [type] : checkArray(type, 'type');
  return {
    types: types && new Set(types.map((one) => checkString(one, 'filter.type'))),
    id: id === undefined ? undefined : checkString(id, 'filter.id'),
    signal: checkSignal(options['signal'], 'signal'),
  };
}

/** The journal holds one record a line: a folder's name must not be able to forge one. */
function checkFolder(value: unknown, option: string): string {
  const path = checkAbsolutePath(value, option);
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (/[\u0000-\u001f\u007f]/.test(path)) {
    throw invalid(option, 'must not contain control characters');
  }
  return path;
}
