import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { beforeAll, beforeEach, describe, test } from 'vitest';

import { limitable } from './limitable.js';
import { nativeFile, UNGUARDED } from './native.js';

const CGROUP2_SUPER_MAGIC = 0x63677270;
const CAP_SYS_ADMIN = 21n;

export type Need =
  | 'root'
  | 'user'
  | 'asUser'
  | 'userns'
  | 'unshare'
  | 'cgroups'
  | 'cgroup1'
  | 'cgroup2'
  | 'native'
  | 'binding'
  | 'musl'
  | 'supervisor'
  | 'compiler'
  | 'busybox'
  | 'memfdNoexec'
  | 'usernsClone'
  | 'newuidmap'
  | 'crun'
  | 'runc'
  | 'bwrap'
  | 'docker'
  | 'openssl'
  | 'dockerd'
  | 'registry'
  | 'skopeo'
  | 'zstd'
  | 'umoci'
  | 'buildah'
  | 'podman'
  | 'mmdebstrap'
  | 'strace'
  | 'nft'
  | 'swapon'
  | 'capsh'
  | 'timens'
  | 'python3'
  | 'hugepages'
  | 'bfq'
  | 'unguarded';

/**
 * What a test can need of the machine. Each probe tries the thing itself and answers with what is
 * missing, in words, or `null`.
 */
const PROBES: Readonly<Record<Need, () => string | null>> = {
  root: () =>
    process.getuid?.() === 0 && hasCapability(CAP_SYS_ADMIN)
      ? null
      : 'run as root with CAP_SYS_ADMIN',
  user: () => (process.getuid?.() !== 0 ? null : 'run as an ordinary user (test/helpers/as-user)'),
  /** An ordinary user that root can become: see asUser(). */
  asUser: () =>
    PROBES.root() ?? runs('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'true'),
  userns: () => runs('unshare', '--user', '--map-root-user', '--mount', 'true'),
  cgroup2: () =>
    cgroupMode() === 'v2' ? null : 'a pure cgroup v2 hierarchy (npm run test:vm has one)',
  cgroup1: () =>
    cgroupMode() === 'v1' || cgroupMode() === 'hybrid' ? null : 'a cgroup v1 or hybrid hierarchy',
  cgroups: () => (cgroupMode() === 'none' ? 'a mounted cgroup hierarchy' : null),
  supervisor: () =>
    nativeFile('caisson-supervisor') === null ? 'the native part: npm run build' : null,
  native: () =>
    nativeFile('caisson-supervisor') !== null && nativeFile('caisson.node') !== null
      ? null
      : 'the native part: npm run build',
  binding: () =>
    nativeFile('caisson.node') !== null && nativeFile('caisson-fake-supervisor') !== null
      ? null
      : 'the addon and its test peer: npm run test:native',
  musl: () => runs('musl-gcc', '--version'),
  compiler: () => runs('cc', '--version'),
  /** A file can be swapped to, on a file system that allows it; test/integration/container.limits.swap.test.ts makes it. */
  swapon: () => PROBES.root() ?? runs('mkswap', '--version') ?? runs('swapon', '--version'),
  busybox: () => (busybox() === null ? 'apt-get install busybox-static' : null),
  unshare: () => PROBES.root() ?? runs('unshare', '--mount', '--net', '--pid', '--fork', 'true'),
  memfdNoexec: () =>
    existsSync('/proc/sys/vm/memfd_noexec') ? null : 'a kernel with vm.memfd_noexec (6.3)',
  usernsClone: () =>
    existsSync('/proc/sys/kernel/unprivileged_userns_clone')
      ? null
      : "Debian's kernel.unprivileged_userns_clone",
  newuidmap: () =>
    existsSync('/usr/bin/newuidmap') && existsSync('/usr/bin/newgidmap')
      ? null
      : 'apt-get install uidmap',
  crun: () => runs('crun', '--version'),
  runc: () => runs('runc', '--version'),
  bwrap: () => runs('bwrap', '--version'),
  docker: () => runs('docker', 'info'),
  openssl: () => runs('openssl', 'version'),
  dockerd: () => PROBES.root() ?? runs('dockerd', '--version') ?? runs('docker', '--version'),
  registry: () => runs('docker-registry', '--version'),
  skopeo: () => runs('skopeo', '--version'),
  zstd: () => runs('zstd', '--version'),
  umoci: () => runs('umoci', '--version'),
  buildah: () => runs('buildah', '--version'),
  podman: () => runs('podman', '--version'),
  mmdebstrap: () => runs('mmdebstrap', '--version'),
  strace: () => runs('strace', '--version'),
  nft: () => runs('nft', '--version'),
  capsh: () => runs('capsh', '--print'),
  timens: () =>
    existsSync('/proc/self/ns/time') ? null : 'a kernel with time namespaces (CONFIG_TIME_NS)',
  python3: () => runs('/usr/bin/python3', '--version'),
  hugepages: () =>
    limitable('hugetlb') && existsSync('/proc/sys/vm/nr_hugepages')
      ? null
      : 'huge pages, and the cgroup controller hugetlb',
  bfq: () =>
    limitable('io') && readdirSync('/sys/block').some(hasBfq)
      ? null
      : 'the I/O scheduler BFQ: modprobe bfq',
  unguarded: () =>
    existsSync(UNGUARDED)
      ? null
      : 'the supervisor whose guards can be taken out: npm run test:native',
};

// Of these one excludes the other, or a kernel has just one of them: the runs of CI (root, ordinary user,
// the cgroup v2 machine) cover them together, so lacking one is never a failure.
const IN_ANOTHER_RUN: ReadonlySet<Need> = new Set<Need>([
  'user',
  'cgroup1',
  'cgroup2',
  'usernsClone',
  'memfdNoexec',
]);
const FOR_ROOT: ReadonlySet<Need> = new Set<Need>(['root', 'asUser', 'unshare', 'dockerd']);

function belongsElsewhere(name: Need): boolean {
  return IN_ANOTHER_RUN.has(name) || (FOR_ROOT.has(name) && process.getuid?.() !== 0);
}

const known = new Map<Need, string | null>();

/** What of `names` this machine lacks, in words, or `null`. Probed once per process. */
export function missing(...names: Need[]): string | null {
  const lacks: string[] = [];
  for (const name of names) {
    if (!known.has(name)) known.set(name, PROBES[name]());
    const remedy = known.get(name);
    if (remedy !== undefined && remedy !== null) lacks.push(`${name} (${remedy})`);
  }
  return lacks.length === 0 ? null : `needs ${lacks.join(', ')}`;
}

/**
 * Declares what a test file needs. On the first line:
 *
 *     const { describe, test } = needs('root', 'cgroup2');
 *
 * Where something is missing every test is a skip that names it; with `REQUIRE_ALL=1` (CI) the file
 * fails instead, unless what is missing makes this the wrong run for it (root's tests started by an
 * ordinary user, those of cgroup v1 under v2). Taking `describe` and `test` from the result also keeps the file's `beforeAll` from
 * running; as a plain statement, `needs('root')`, only the tests are skipped.
 */
export function needs(...names: Need[]): {
  describe: typeof describe;
  test: typeof test;
  missing: string | null;
} {
  const lack = missing(...names);
  if (lack === null) return { describe, test, missing: null };
  const elsewhere = names.every((name) => missing(name) === null || belongsElsewhere(name));
  if (process.env['REQUIRE_ALL'] === '1' && !elsewhere) {
    beforeAll(() => {
      throw new Error(lack);
    });
    return { describe, test, missing: lack };
  }
  beforeEach((context) => context.skip(lack));
  return {
    describe: describe.skipIf(true) as unknown as typeof describe,
    test: test.skipIf(true) as unknown as typeof test,
    missing: lack,
  };
}

function hasBfq(disk: string): boolean {
  const path = `/sys/block/${disk}/queue/scheduler`;
  return disk.startsWith('loop') && existsSync(path) && readFileSync(path, 'utf8').includes('bfq');
}

export type CgroupMode = 'none' | 'v1' | 'hybrid' | 'v2';

export function cgroupMode(): CgroupMode {
  if (!existsSync('/sys/fs/cgroup')) return 'none';
  if (statfsSync('/sys/fs/cgroup').type === CGROUP2_SUPER_MAGIC) return 'v2';
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const v1 = lines.some((line) => / - cgroup /.test(line));
  const v2 = lines.some((line) => / - cgroup2 /.test(line));
  return v1 ? (v2 ? 'hybrid' : 'v1') : 'none';
}

/** Path of a statically linked busybox, or null. */
export function busybox(): string | null {
  for (const folder of (process.env['PATH'] ?? '/bin:/usr/bin').split(delimiter)) {
    const path = join(folder, 'busybox');
    try {
      accessSync(path, constants.X_OK);
    } catch {
      continue;
    }
    // A static executable has no program interpreter; Debian's plain `busybox` has one.
    if (!readFileSync(path).subarray(0, 4096).includes('/ld-linux')) return path;
  }
  return null;
}

function hasCapability(bit: bigint): boolean {
  const effective =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> bit) & 1n) === 1n;
}

function runs(command: string, ...args: string[]): string | null {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 });
    return null;
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return absent ? `install ${command}` : `${[command, ...args].join(' ')} must succeed`;
  }
}
