/** What an item was about and where, for the words of its remedy. */
export interface RemedyContext {
  readonly id: string;
  /** The supervisor's word for why; null when it gave none. */
  readonly cause: string | null;
  readonly supervisor: string;
  readonly root: string;
  readonly runDir: string;
}

type Remedy = string | ((context: RemedyContext) => string);

const keep = (setting: string): string =>
  `sudo sysctl -w ${setting}, and the same line in /etc/sysctl.d/99-caisson.conf to keep it.`;

const NEWER_KERNEL =
  'Run a newer kernel: 5.12 or later has all that is needed, 6.6 all that is wanted.';
const OTHER_STORE =
  'Give Runtime.open() a `root` on a local ext4, xfs (ftype=1), btrfs or tmpfs file system; inside another container, on a volume.';

const DELEGATED_SCOPE =
  'start the program in a delegated scope, on cgroup v2: systemd-run --user --scope -p Delegate=yes …';

/** The AppArmor profile that lets exactly this file make user namespaces. */
const appArmorProfile = ({ supervisor }: RemedyContext): string =>
  [
    'Allow this one program: write to /etc/apparmor.d/caisson-supervisor',
    '',
    '  abi <abi/4.0>,',
    '  include <tunables/global>',
    `  profile caisson-supervisor ${quoted(supervisor)} flags=(unconfined) {`,
    '    userns,',
    '  }',
    '',
    'and load it: sudo apparmor_parser -r /etc/apparmor.d/caisson-supervisor',
    `(or, for every program: ${keep('kernel.apparmor_restrict_unprivileged_userns=0')})`,
  ].join('\n');

const quoted = (path: string): string =>
  /^[\w./@+-]+$/.test(path) ? path : `"${path.replaceAll(/["\\]/g, '\\$&')}"`;

/** By cause, or by `id/cause` where the same cause asks for something else. */
const REMEDIES: Readonly<Record<string, Remedy>> = {
  // Something around the program.
  'outer-seccomp':
    'Start the outer container with a seccomp profile that allows these calls: docker run --security-opt seccomp=unconfined, ' +
    'Kubernetes seccompProfile {type: Unconfined}; for a systemd unit, take the calls out of SystemCallFilter= and RestrictNamespaces=.',
  'no-new-privs':
    'Where that matters, start the program without it: no NoNewPrivileges=yes (and nothing that implies it) in its systemd unit, ' +
    'allowPrivilegeEscalation: true in Kubernetes, no --security-opt no-new-privileges in Docker.',
  'missing-capabilities':
    "Start the program with root's capabilities (docker run --privileged, no CapabilityBoundingSet= in its systemd unit), " +
    "or as an ordinary user with mode 'rootless'.",
  'masked-proc':
    'Show /proc whole to the outer container: docker run --security-opt systempaths=unconfined, ' +
    'Kubernetes procMount: Unmasked with hostUsers: false.',
  'masked-sysfs':
    'Show /sys whole and writable to the outer container: docker run --privileged, or --security-opt systempaths=unconfined ' +
    'with -v /sys:/sys.',
  chroot:
    'Start the program outside of the chroot, or make its root a mount: unshare --mount and pivot_root instead of chroot.',
  initramfs: 'Move the root off the initramfs first (switch_root to a tmpfs is enough).',
  lsm: 'See the kernel log (sudo dmesg) for which security module refused it, and allow it there.',

  // Settings.
  'max-user-namespaces': keep('user.max_user_namespaces=28633'),
  'user-namespace-limit': `Fewer nested containers, or ${keep('user.max_user_namespaces=28633')}`,
  'namespace-limit': 'Raise the named settings: sudo sysctl -w user.max_…_namespaces=28633.',
  'unprivileged-userns-clone': keep('kernel.unprivileged_userns_clone=1'),
  apparmor: appArmorProfile,
  'memfd-noexec': `${keep('vm.memfd_noexec=1')} Or give \`runDir\` a file system that is not mounted noexec.`,
  'memfd-exec/refused':
    'Give `root` or `runDir` a file system that is not mounted noexec and knows O_TMPFILE (ext4, xfs, btrfs, tmpfs).',
  quota: keep('kernel.keys.maxkeys=2000'),
  'kernel-command-line':
    'Nothing has to be done without limits. For them, add cgroup_enable=memory (and for v1 swapaccount=1) to the kernel command line, on a Raspberry Pi in /boot/firmware/cmdline.txt.',
  'no-swap-accounting':
    'Add swapaccount=1 to the kernel command line, or leave memorySwapBytes away: -1 (no bound) and as much as memoryBytes can be said.',
  'no-io-weight':
    'Use BFQ for the disk (echo bfq | sudo tee /sys/block/DISK/queue/scheduler), or on cgroup v2 a kernel with io.cost.',
  'no-controller':
    'Mount the controller (v1), or give it to the groups below (v2: cgroup.subtree_control of each group above, none of which may have processes itself); the kernel must have been built with it.',

  // The kernel.
  'old-kernel': NEWER_KERNEL,
  'pidfd-namespaces/old-kernel':
    'Nothing has to be done: the older way is used. Linux 6.11 has it.',
  'kernel-config':
    'Run a kernel of a distribution, or build this one with the named part (docs/host.md lists them).',
  'nft/kernel-config':
    'For networks with addresses of their own, with a later version: sudo modprobe nf_tables.',
  'no-overlay':
    'sudo modprobe overlay, and the line "overlay" in /etc/modules-load.d/caisson.conf to keep it.',
  'overlay-in-user-namespace':
    'Overlays in user namespaces need Linux 5.11 (with SELinux 5.13). With an older kernel, run as root.',
  'known-holes':
    'Update the kernel. Until then run nobody else’s code in containers on this machine.',
  refused:
    'See the kernel log (sudo dmesg) and what runs around this program (container, systemd unit) for what refuses it.',

  // File systems.
  'store-on-overlay': OTHER_STORE,
  'store-on-network': OTHER_STORE,
  'store-file-system': OTHER_STORE,
  'reflink/store-file-system':
    'Nothing has to be done; on xfs or btrfs imports and forks would share blocks instead of copying.',
  'id-mapped-mounts/store-file-system':
    'Only needed for `security.userns`: ext4 and xfs have it from Linux 5.12, btrfs 5.15, tmpfs 6.3.',
  'no-user-namespace':
    'Only needed for `security.userns`: allow user namespaces (item user-namespaces).',
  'no-file-types':
    'Make the xfs anew with ftype=1 (mkfs.xfs -n ftype=1), or give `root` another file system.',
  'no-attributes': OTHER_STORE,
  'overlay-broken': OTHER_STORE,
  'read-only': ({ id, root, runDir }) =>
    `Give Runtime.open() a ${id === 'run-folder' ? `\`runDir\` instead of ${runDir}` : `\`root\` instead of ${root}`} that can be written to.`,
  'not-writable': ({ id, root, runDir }) => {
    const path = id === 'run-folder' ? runDir : root;
    return id === 'cgroups'
      ? 'Give Runtime.open() a `cgroupParent` in which this user may make groups.'
      : `Make it yours (sudo install -d -m 700 -o "$(id -un)" ${path}), or give Runtime.open() another \`${id === 'run-folder' ? 'runDir' : 'root'}\`.`;
  },
  full: 'Free space (and inodes) on that file system, or give Runtime.open() another `root`.',
  low: 'Free space on that file system before images are pulled.',
  'no-locks': 'Give Runtime.open() a `runDir` on a local file system.',

  // cgroups.
  'no-cgroups': 'Mount them: sudo mount -t cgroup2 none /sys/fs/cgroup.',
  'read-only-cgroups':
    'Give the outer container its own writable cgroups: docker run --privileged --cgroupns=private, or -v /sys/fs/cgroup:/sys/fs/cgroup:rw.',
  'not-delegated':
    'Nothing has to be done: containers run without, and a subreaper finds the processes of an exec. ' +
    `For groups, ${DELEGATED_SCOPE}.`,
  'freeze/not-delegated': `For a group that can be frozen, ${DELEGATED_SCOPE}.`,
  'cgroup-controllers/not-delegated':
    `Nothing has to be done without limits. For them, ${DELEGATED_SCOPE}; ` +
    'systemd delegates only memory and pids unless /etc/systemd/system/user@.service.d/delegate.conf says [Service] Delegate=cpu cpuset io memory pids.',
  'cgroup-limit':
    'Remove old groups, or raise cgroup.max.descendants and cgroup.max.depth of the groups above.',

  // Programs.
  'no-newuidmap': 'For more than one id in containers: sudo apt-get install uidmap.',
  'no-sub-ids':
    'For more than one id in containers: ' +
    'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$(id -un)"',
  'no-pasta': 'For networks, with a later version: sudo apt-get install passt (or slirp4netns).',
  'no-tun':
    'For networks, with a later version: sudo modprobe tun; in a container, --device /dev/net/tun.',

  // The check itself.
  'native-missing':
    'Build it with `npx caisson build`, or point CAISSON_NATIVE_DIR at a folder that holds it.',
  'not-linux': 'caisson runs on Linux only: on macOS and Windows, inside a virtual machine.',
  'not-executable':
    'See that the file is executable, on a file system not mounted noexec, and built for this machine; `npx caisson build` builds it here.',
  'not-tried': 'First put right what stands above.',
  timeout:
    'The machine may be overloaded or a file system hang: try again, then see the kernel log (sudo dmesg).',
  died: 'See the kernel log (sudo dmesg).',
  resources: 'Raise the limits of processes and open files (ulimit -u, ulimit -n).',
  unknown: 'See the kernel log (sudo dmesg).',
};

/** What to do about an item that is not ok. */
export function remedyFor(context: RemedyContext): string {
  const { id, cause } = context;
  const remedy =
    REMEDIES[`${id}/${cause ?? ''}`] ?? REMEDIES[cause ?? ''] ?? REMEDIES['refused'] ?? '';
  return typeof remedy === 'string' ? remedy : remedy(context);
}

/** @internal */
export function hasRemedy(cause: string): boolean {
  return REMEDIES[cause] !== undefined;
}

/** Of an item whose remedy names no path. */
export function remedyOf(id: string, cause: string): string {
  return remedyFor({ id, cause, supervisor: '', root: '', runDir: '' });
}
