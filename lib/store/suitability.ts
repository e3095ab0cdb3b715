import { statfs } from 'node:fs/promises';

/** What the file system of a store is found to be; kept in the store, so that it is asked once. */
export interface Suitability {
  /** Why containers cannot have their files here; absent when they can. */
  readonly reason?: string;
  readonly hint?: string;
}

/** Asks the kernel what no call of Node's can: user xattrs, d_type. Done by the supervisor's trials. */
export type StoreTrial = (root: string) => Promise<Suitability>;

const ELSEWHERE =
  'Give Runtime.open() a `root` on ext4, xfs, btrfs or tmpfs; in a container, on a volume.';

// Known to be refused as the upper folder of an overlay mount (no xattrs, or whiteouts, or both).
const REFUSED: ReadonlyMap<number, string> = new Map([
  [0x794c7630, 'an overlay file system cannot hold the upper folders of another one'],
  [0x61756673, 'aufs cannot hold the upper folders of an overlay mount'],
  [0xf15f, 'ecryptfs cannot hold the upper folders of an overlay mount'],
  [0x6969, 'NFS cannot hold the upper folders of an overlay mount'],
  [0xff534d42, 'CIFS cannot hold the upper folders of an overlay mount'],
  [0xfe534d42, 'SMB cannot hold the upper folders of an overlay mount'],
  [0x01021997, '9p cannot hold the upper folders of an overlay mount'],
  [0x4d44, 'FAT has neither owners nor extended attributes'],
  [0x2011bab0, 'exFAT has neither owners nor extended attributes'],
  [0x858458f6, 'ramfs has no extended attributes (tmpfs has)'],
]);

/** By the kind of file system, then by trying. */
export async function probeSuitability(
  root: string,
  trial: StoreTrial | undefined,
): Promise<Suitability> {
  const { type } = await statfs(root);
  const reason = REFUSED.get(type);
  if (reason !== undefined) return { reason, hint: ELSEWHERE };
  const found = (await trial?.(root)) ?? {};
  return found.reason === undefined ? {} : { hint: ELSEWHERE, ...found };
}
