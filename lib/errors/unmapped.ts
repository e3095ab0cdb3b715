import { CaissonError } from './caisson-error.js';

/** The refusal of a user or group that has no id outside. */
export function unmapped(what: string, cause?: Error): CaissonError {
  const reason =
    'its id is not mapped: security.userns has no entry for it, or an ordinary user without subordinate ids asks for another than root (0)';
  const hint =
    'For an ordinary user Runtime.check() says, as subordinate-ids, how a user gets more: the package uidmap, and ranges in /etc/subuid and /etc/subgid.';
  const options = cause === undefined ? { hint } : { hint, cause };
  return new CaissonError('ERR_UNSUPPORTED', { what, reason }, options);
}
