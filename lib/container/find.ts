import {
  checkBag,
  checkBoolean,
  checkLabels,
  checkName,
  checkSignal,
  checkString,
} from '../errors/arguments.js';
import { CaissonError, throwIfAborted } from '../errors/index.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { checkOwnRuntime, partsOf } from '../runtime/runtime.js';
import type { StoredContainer } from '../store/index.js';
import { supervisedOf } from './registry.js';
import { fromStored } from './stored-state.js';
import type { Supervised } from './supervise.js';

/** A container of this Runtime, or the record of one that another Runtime on this store runs. */
export type Found =
  | { readonly kind: 'own'; readonly core: Supervised }
  | { readonly kind: 'foreign'; readonly parts: RuntimeParts; readonly record: StoredContainer };

const CALL: ReadonlySet<string> = new Set(['runtime', 'signal']);
const LIST: ReadonlySet<string> = new Set(['runtime', 'signal', 'all', 'filter']);
const FILTER: ReadonlySet<string> = new Set(['labels', 'name']);

export async function findContainer(idOrName: unknown, value: unknown): Promise<Found> {
  const wanted = checkName(idOrName, 'idOrName');
  const options = value === undefined ? {} : checkBag(value, 'options', CALL);
  throwIfAborted(checkSignal(options['signal'], 'signal'));
  return await findIn(await partsOf(options['runtime'], 'get a container'), wanted);
}

/** Of a call on a container of `own` that takes nothing but what all take: its signal. */
export function parseCall(value: unknown, own: RuntimeParts): AbortSignal | undefined {
  if (value === undefined) return undefined;
  const options = checkBag(value, 'options', CALL);
  checkOwnRuntime(options['runtime'], own);
  return checkSignal(options['signal'], 'signal');
}

/** By id, name, or the beginning of an id. */
export async function findIn(parts: RuntimeParts, wanted: string): Promise<Found> {
  const own = supervisedOf(parts);
  const exact = own.get(wanted) ?? [...own.values()].find((core) => core.name === wanted);
  if (exact !== undefined) return { kind: 'own', core: exact };
  const record = await parts.store.containers.find(wanted);
  return foundOf(parts, record);
}

function foundOf(parts: RuntimeParts, record: StoredContainer): Found {
  const core = supervisedOf(parts).get(record.config.id);
  return core === undefined ? { kind: 'foreign', parts, record } : { kind: 'own', core };
}

/** Oldest first; without `all` only those that run. */
export async function listContainers(value: unknown): Promise<Found[]> {
  const options = value === undefined ? {} : checkBag(value, 'options', LIST);
  throwIfAborted(checkSignal(options['signal'], 'signal'));
  const all = checkBoolean(options['all'] ?? false, 'all');
  const filter =
    options['filter'] === undefined ? {} : checkBag(options['filter'], 'filter', FILTER);
  const labels =
    filter['labels'] === undefined ? {} : checkLabels(filter['labels'], 'filter.labels');
  const name = filter['name'] === undefined ? '' : checkString(filter['name'], 'filter.name');

  const parts = await partsOf(options['runtime'], 'list containers');
  const { alive } = await parts.store.containers.list();
  return alive
    .filter(({ config }) => config.name.includes(name) && hasLabels(config.labels, labels))
    .map((record) => foundOf(parts, record))
    .filter((found) => statusOf(found) !== 'removed' && (all || isRunning(found)));
}

function hasLabels(
  own: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([key, value]) => own[key] === value);
}

const statusOf = (found: Found): string =>
  found.kind === 'own' ? found.core.state.status : fromStored(found.record.state).status;

const isRunning = (found: Found): boolean =>
  !['created', 'exited', 'removed'].includes(statusOf(found));

export const isNotFound = (error: unknown): boolean =>
  CaissonError.is(error, 'ERR_CONTAINER_NOT_FOUND');
