// Ids for `userns: 'auto'`: a range of this machine's that no other container has, of whatever store and program.
import { readdir, readlink, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CaissonError } from '../errors/index.js';
import { readText } from '../host/look.js';
import { rangesOf } from '../host/subordinate-ids.js';
import { makePrivateFolder } from '../runtime/folders.js';
import type { RuntimeParts } from '../runtime/parts.js';
import { isAbsent, isAlive, Locks, storeError, type Keeper } from '../store/index.js';
import { rootlessRefusal } from './plan-userns.js';
import type { IdMaps } from './userns-request.js';

/** Whose lines in /etc/subuid and /etc/subgid they are from: as Podman's. */
const OWNER = 'containers';
const SIZE = 65_536;
/** Not in a run folder: each program may have another one. */
const FOLDER = '/run/caisson-ids';

export interface TakenIds extends IdMaps {
  /** Once nothing runs with them any more. Twice is silent. */
  release(): Promise<void>;
}

/** The first ids of a range of each kind. */
interface Range {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Takes a range for the container `id`. A link says who has it, and is void when the Runtime that answers for it is
 * gone, which is when nothing of it runs any more.
 */
export async function takeIds(
  { mode, binding, keeper }: Pick<RuntimeParts, 'mode' | 'binding' | 'keeper'>,
  id: string,
): Promise<TakenIds> {
  if (mode === 'rootless') throw rootlessRefusal();
  const ranges = freeRanges(readText('/etc/subuid') ?? '', readText('/etc/subgid') ?? '');
  if (ranges.length === 0) throw noRanges();
  await makePrivateFolder(FOLDER);
  const locks = new Locks(FOLDER, binding);
  const link = await locks.hold('ids', 'exclusive', async () => {
    const taken = await takenRanges(async (other) => await isAlive(binding, other));
    const free = ranges.find((range) => !taken.some((other) => overlaps(range, other)));
    if (free === undefined) throw allTaken(ranges.length);
    const path = join(FOLDER, `${free.uid}-${free.gid}`);
    await symlink(`${id} ${keeper.runtimeId} ${keeper.folder}`, path).catch((error: unknown) => {
      throw storeError(error, path);
    });
    return { path, ...free };
  });
  const entry = (hostId: number) => [{ containerId: 0, hostId, size: SIZE }];
  return {
    uids: entry(link.uid),
    gids: entry(link.gid),
    release: async () =>
      await locks.hold('ids', 'exclusive', async () => {
        const text = await readlink(link.path).catch(() => '');
        if (text.startsWith(`${id} `)) await unlink(link.path);
      }),
  };
}

/** All that there are; which of them is free is seen later. @internal */
export function freeRanges(subuid: string, subgid: string): readonly Range[] {
  const starts = (text: string): number[] =>
    rangesOf(text, -1, OWNER, -1).flatMap(({ first, count }) =>
      Array.from({ length: Math.min(Math.floor(count / SIZE), MOST) }, (_, i) => first + i * SIZE),
    );
  const gids = starts(subgid);
  return starts(subuid).flatMap((uid, i) => {
    const gid = gids[i];
    return gid === undefined ? [] : [{ uid, gid }];
  });
}

/** More containers than that have no machine. */
const MOST = 32_768;

const overlaps = (a: Range, b: Range): boolean =>
  Math.abs(a.uid - b.uid) < SIZE || Math.abs(a.gid - b.gid) < SIZE;

/** Those of the living; the links of the dead go. */
async function takenRanges(lives: (keeper: Keeper) => Promise<boolean>): Promise<Range[]> {
  const taken: Range[] = [];
  for (const name of await readdir(FOLDER)) {
    const [, uid, gid] = /^(\d+)-(\d+)$/.exec(name) ?? [];
    if (uid === undefined || gid === undefined) continue;
    const path = join(FOLDER, name);
    try {
      const [, runtimeId = '', ...folder] = (await readlink(path)).split(' ');
      if (await lives({ runtimeId, folder: folder.join(' ') })) {
        taken.push({ uid: Number(uid), gid: Number(gid) });
      } else {
        await unlink(path);
      }
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }
  return taken;
}

function noRanges(): CaissonError {
  const reason = `/etc/subuid and /etc/subgid give the user '${OWNER}' no ${SIZE} ids each`;
  const hint = `For example: echo ${OWNER}:2147483647:2147483648 | sudo tee -a /etc/subuid /etc/subgid`;
  return new CaissonError('ERR_UNSUPPORTED', { what: "security.userns: 'auto'", reason }, { hint });
}

function allTaken(count: number): CaissonError {
  const reason = `other containers have all ${count} ranges of ids that there are`;
  const hint = `Give the user '${OWNER}' more in /etc/subuid and /etc/subgid, or remove containers.`;
  return new CaissonError('ERR_UNSUPPORTED', { what: "security.userns: 'auto'", reason }, { hint });
}
