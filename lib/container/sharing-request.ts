import { checkString, invalid } from '../errors/arguments.js';

/** Whose namespace a container is in: one of its own, this machine's, or another container's. */
export type Sharing = 'private' | 'host' | `container:${string}`;

/** `private` has another name for networks. */
export function parseSharing(value: unknown, option: string): Sharing {
  if (value === undefined) return 'private';
  const asked = checkString(value, option);
  if (asked === 'private' || asked === 'host') return asked;
  if (containerOf(asked) === undefined) {
    throw invalid(option, `must be 'private', 'host' or 'container:<id or name>'`);
  }
  return asked as Sharing;
}

/** The id or name that was asked for; undefined when it is no container's. */
export function containerOf(asked: string): string | undefined {
  const wanted = asked.startsWith('container:') ? asked.slice('container:'.length) : '';
  return wanted === '' ? undefined : wanted;
}
