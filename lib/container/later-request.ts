import { checkBoolean, notYet, type Bag } from '../errors/arguments.js';

/** What brings each option that this version knows by name only. */
const SINCE: Readonly<Record<string, string>> = {
  publish: 'a later version',
  egress: 'a later version',
  health: 'a later version',
  ready: 'a later version',
  restart: 'a later version',
  detached: 'a later version',
  files: 'a later version',
};
const LATER = Object.entries(SINCE);

/** Values that ask for nothing may be said; all others are refused by name. */
export function refuseLaterOptions(options: Bag): void {
  for (const [key, since] of LATER) {
    const value = options[key];
    if (value !== undefined && !asksForNothing(value)) throw notYet(key, since);
  }
  if (options['detached'] !== undefined) checkBoolean(options['detached'], 'detached');
}

function asksForNothing(value: unknown): boolean {
  if (value === false) return true;
  if (typeof value !== 'object' || value === null) return false;
  if ((value as Bag)['policy'] === 'no') return true;
  return Object.getOwnPropertyNames(value).filter((key) => key !== 'length').length === 0;
}
