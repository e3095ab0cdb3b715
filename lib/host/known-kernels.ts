import { release, version } from 'node:os';
import { readText } from './look.js';

/**
 * Holes of the kernel that no option of ours stops: they reach from a container to the host through
 * ordinary calls. By upstream version, which is the one thing here that is not found by trying.
 */
interface Hole {
  readonly cve: string;
  readonly what: string;
  readonly since: string;
  /** First fixed version of each branch; any newer branch is fixed. */
  readonly fixed: readonly string[];
}

const HOLES: readonly Hole[] = [
  {
    cve: 'CVE-2022-0847',
    what: 'writing to files opened read-only (dirty pipe)',
    since: '5.8',
    fixed: ['5.10.102', '5.15.25', '5.16.11'],
  },
  {
    cve: 'CVE-2022-0185',
    what: 'heap overflow in fsconfig',
    since: '5.1',
    fixed: ['5.4.173', '5.10.93', '5.15.16', '5.16.2'],
  },
  {
    cve: 'CVE-2022-0492',
    what: 'release_agent of cgroup v1',
    since: '2.6.24',
    fixed: ['4.9.301', '4.14.266', '4.19.229', '5.4.177', '5.10.97', '5.15.20', '5.16.6'],
  },
  {
    cve: 'CVE-2023-0386',
    what: 'setuid files through an overlay',
    since: '5.11',
    fixed: ['5.15.91', '6.1.9'],
  },
  {
    cve: 'CVE-2024-1086',
    what: 'use after free in nf_tables',
    since: '3.15',
    fixed: ['5.10.210', '5.15.149', '6.1.76', '6.6.15', '6.7.3'],
  },
  { cve: 'CVE-2026-31431', what: 'AF_ALG sockets', since: '6.18', fixed: ['6.18.22'] },
];

/** The holes a kernel of this upstream version has. @internal */
export function holesOf(upstream: string): string[] {
  return HOLES.flatMap((hole) =>
    isAffected(upstream, hole) ? [`${hole.cve} (${hole.what})`] : [],
  );
}

/**
 * The upstream version of the running kernel; null when a distribution counts for itself and does not
 * say (it fixes holes without changing the first three numbers).
 */
export function upstreamVersion(): string | null {
  // The file is Ubuntu's own.
  return upstreamOf(release(), version(), readText('/proc/version_signature') ?? '');
}

/** @internal */
export function upstreamOf(kernel: string, build: string, signature: string): string | null {
  const told =
    /\bDebian (\d+\.\d+\.\d+)/.exec(build)?.[1] ?? / (\d+\.\d+\.\d+)\s*$/.exec(signature)?.[1];
  if (told !== undefined) return told;
  if (/^\d+\.\d+\.0-\d/.test(kernel) || /\.el\d|\.amzn|\.fc\d/.test(kernel)) return null;
  return /^\d+\.\d+(\.\d+)?/.exec(kernel)?.[0] ?? null;
}

function isAffected(upstream: string, { since, fixed }: Hole): boolean {
  if (compare(upstream, since) < 0) return false;
  const sameBranch = fixed.find((one) => branch(one) === branch(upstream));
  if (sameBranch !== undefined) return compare(upstream, sameBranch) < 0;
  // A branch that was never fixed is affected when a newer one still had to be.
  return fixed.some((one) => compare(upstream, one) < 0);
}

const numbers = (text: string): number[] => text.split('.').map(Number);
const branch = (text: string): string => numbers(text).slice(0, 2).join('.');

function compare(a: string, b: string): number {
  const [left, right] = [numbers(a), numbers(b)];
  for (let at = 0; at < 3; at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
