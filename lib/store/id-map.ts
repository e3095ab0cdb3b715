import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { readJson, writeJson } from './files.js';
import { IDENTITY_FILE } from './identity.js';

/** Which ids outside stand for those inside, where there are more than the user's own; '' where there are not. */
export interface IdMap {
  readonly uids: string;
  readonly gids: string;
}

/**
 * Files that containers and images have in an ordinary user's store may belong to that user's subordinate ids. With
 * other ones, or none, they would be somebody else's: neither readable as they were written nor removable.
 *
 * @throws {@link CaissonError} `ERR_STORE_UNUSABLE`
 */
export async function bindIdMap(
  root: string,
  recorded: IdMap | undefined,
  now: IdMap,
): Promise<void> {
  const before = recorded ?? { uids: '', gids: '' };
  if (before.uids === now.uids && before.gids === now.gids) return;
  if (!extend(before.uids, now.uids) || !extend(before.gids, now.gids)) {
    const reason =
      'its files may belong to subordinate ids that this user no longer has, or cannot map now';
    const hint = `Give the user these ranges again in /etc/subuid and /etc/subgid: ${shown(before)}; Runtime.check() says what else is missing.`;
    throw new CaissonError('ERR_STORE_UNUSABLE', { root, reason }, { hint });
  }
  const path = join(root, IDENTITY_FILE);
  const identity = (await readJson(path)) as Readonly<Record<string, unknown>>;
  await writeJson(path, { ...identity, idMap: now });
}

/** Whether each id inside still means the same one outside. */
const extend = (before: string, now: string): boolean =>
  before === '' || now === before || now.startsWith(`${before},`);

const shown = ({ uids, gids }: IdMap): string =>
  [uids, gids]
    .flatMap((map) => map.split(',').slice(1))
    .map((part) => part.slice(part.indexOf(':') + 1))
    .join(' ');
