import { checkName, invalid, quote } from '../errors/arguments.js';

const MOST_BYTES = 1024;
/** Files of cgroups are called after what they belong to; v1 has three that are not. */
const FILE =
  /^(?:(?:cgroup|memory|cpu|cpuacct|cpuset|io|blkio|pids|hugetlb|devices|freezer|rdma|misc|perf_event|net_cls|net_prio|irq|dmem)\..*|tasks|notify_on_release|release_agent)$/;

/**
 * The absolute path of a group that is to be a parent: no part leads elsewhere or is called like a file that
 * groups have, and none could forge a line of the journal.
 */
export function checkCgroupParent(value: unknown, option: string): string {
  const path = checkName(value, option);
  const parts = path.split('/').slice(1);
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (!path.startsWith('/') || path.length > MOST_BYTES || /[\u0000-\u001f\u007f]/.test(path)) {
    throw invalid(
      option,
      `must be an absolute path of at most ${MOST_BYTES} characters, not ${quote(path)}`,
    );
  }
  const bad = parts.find(
    (part) => part === '' || part === '.' || part === '..' || part.length > 255 || FILE.test(part),
  );
  if (bad !== undefined) throw invalid(option, `${quote(bad)} cannot be the name of a group`);
  return path;
}
