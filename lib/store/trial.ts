import { execFile } from 'node:child_process';
import { readFile, stat, statfs } from 'node:fs/promises';
import { loadNative } from '../native/load.js';
import type { StoreMode } from './identity.js';
import type { StoreTrial, Suitability } from './suitability.js';

// File systems that always have what a store needs. Trying takes 50 ms, the first time only, but a
// test suite makes many stores.
const ALWAYS_GOOD: ReadonlySet<number> = new Set([
  0xef53, // ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
]);
/** Only as root: user xattrs came with Linux 6.6. */
const TMPFS = 0x01021994;

const ITEMS: ReadonlySet<string> = new Set([
  'store',
  'file-types',
  'extended-attributes',
  'overlay',
]);
const TIMEOUT_MS = 20_000;

/** Tries the file system with the supervisor's `check`, unless it is known to do. */
export function nativeTrial(mode: StoreMode): StoreTrial {
  return async (root) => {
    if (await isKnown(root, mode)) return {};
    return judge(await check(root, mode));
  };
}

async function isKnown(root: string, mode: StoreMode): Promise<boolean> {
  const { type } = await statfs(root);
  if (type === TMPFS) return mode === 'root';
  return ALWAYS_GOOD.has(type) && (mode === 'root' || (await hasUserXattrs(root)));
}

/** The one mount option that takes them away is shown where it is set. */
async function hasUserXattrs(root: string): Promise<boolean> {
  const { dev } = await stat(root);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const device = ` ${dev >> 8}:${dev & 0xff} `;
  return !mounts.split('\n').some((line) => line.includes(device) && /\bnouser_xattr\b/.test(line));
}

function check(root: string, mode: StoreMode): Promise<string> {
  const args = ['check', '--root', root, '--run', root, '--mode', mode];
  return new Promise((resolve) => {
    // What cannot be tried is not refused: a launch will say it.
    const options = { timeout: TIMEOUT_MS, env: {} };
    execFile(loadNative().supervisor, args, options, (_error, stdout) => resolve(stdout));
  });
}

/** Lines of `check` (addon/supervisor/check.h). @internal */
export function judge(output: string): Suitability {
  for (const line of output.split('\n')) {
    const [id = '', verdict, , errno = '-', detail = ''] = line.split('\t');
    if (verdict !== 'fail' || !ITEMS.has(id)) continue;
    const because = errno === '-' ? '' : ` (${errno})`;
    return { reason: `its file system does not do: ${detail === '' ? id : detail}${because}` };
  }
  return {};
}
