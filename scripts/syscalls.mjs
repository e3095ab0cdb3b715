// The table of system calls, addon/plan/seccomp/syscall_numbers.h: names with their numbers on each
// architecture, from the kernel headers that are installed (linux-libc-dev; for arm
// linux-libc-dev-armhf-cross), and what is newer than they are from the list below.
//
//   node scripts/syscalls.mjs write   writes the table; needs the headers of every architecture
//   node scripts/syscalls.mjs check   fails where the table differs from the headers that are there,
//                                     or from libseccomp (python3 and libseccomp2), where that is
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const file = join(root, 'addon', 'plan', 'seccomp', 'syscall_numbers.h');

/** In the order of the columns (`enum class Architecture`), with libseccomp's numbers for them. */
const ARCHITECTURES = {
  x86_64: 0xc000003e,
  x32: 0x4000003e,
  i386: 0x40000003,
  aarch64: 0xc00000b7,
  arm: 0x40000028,
};
const NAMES = Object.keys(ARCHITECTURES);

// Releases of the kernel and the calls that came with them, for what is younger than 3.0
// (syscalls(2)). Older calls have no release here.
const SINCE = {
  3.2: 'process_vm_readv process_vm_writev',
  3.5: 'kcmp',
  3.8: 'finit_module',
  3.14: 'sched_setattr sched_getattr',
  3.15: 'renameat2',
  3.17: 'seccomp getrandom memfd_create kexec_file_load',
  3.18: 'bpf',
  3.19: 'execveat',
  4.3: 'membarrier userfaultfd',
  4.4: 'mlock2',
  4.5: 'copy_file_range',
  4.6: 'preadv2 pwritev2',
  4.9: 'pkey_mprotect pkey_alloc pkey_free',
  4.11: 'statx',
  4.18: 'io_pgetevents rseq',
  5.1: `pidfd_send_signal io_uring_setup io_uring_enter io_uring_register clock_gettime64 clock_settime64
    clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64 timer_settime64
    timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64
    io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64
    semtimedop_time64 rt_sigtimedwait_time64 futex_time64 sched_rr_get_interval_time64`,
  5.2: 'open_tree move_mount fsopen fsconfig fsmount fspick',
  5.3: 'pidfd_open clone3',
  5.6: 'openat2 pidfd_getfd',
  5.8: 'faccessat2',
  5.9: 'close_range',
  '5.10': 'process_madvise',
  5.11: 'epoll_pwait2',
  5.12: 'mount_setattr',
  5.13: 'landlock_create_ruleset landlock_add_rule landlock_restrict_self',
  5.14: 'quotactl_fd memfd_secret',
  5.15: 'process_mrelease',
  5.16: 'futex_waitv',
  5.17: 'set_mempolicy_home_node',
  6.5: 'cachestat',
  6.6: 'fchmodat2 map_shadow_stack',
  6.7: 'futex_wake futex_wait futex_requeue',
  6.8: 'statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules',
  '6.10': 'mseal',
  6.11: 'uretprobe',
  6.13: 'setxattrat getxattrat listxattrat removexattrat',
  6.15: 'open_tree_attr',
  6.17: 'file_getattr file_setattr',
  6.18: 'uprobe',
  6.19: 'listns',
  '7.0': 'rseq_slice_yield',
};

// What Debian 12's headers (6.1) do not know yet. From 424 on a call has one number everywhere.
const EVERYWHERE = {
  cachestat: 451,
  fchmodat2: 452,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  statmount: 457,
  listmount: 458,
  lsm_get_self_attr: 459,
  lsm_set_self_attr: 460,
  lsm_list_modules: 461,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
  listns: 470,
  rseq_slice_yield: 471,
};
const LAST_KNOWN = Math.max(...Object.values(EVERYWHERE));
const ONLY = { uretprobe: { x86_64: 335, x32: 335 }, uprobe: { x86_64: 336, x32: 336 } };

// Calls of architectures that have no column, so that a profile that names them is understood.
const FOREIGN = `riscv_flush_icache riscv_hwprobe s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write
  s390_runtime_instr s390_sthyi subpage_prot swapcontext switch_endian sys_debug_setcontext multiplexer
  atomic_barrier atomic_cmpxchg_32 getpagesize syscall timerfd rtas spu_create spu_run pciconfig_iobase cachectl sysmips`;

const HEADERS = {
  x86_64: ['/usr/include/x86_64-linux-gnu/asm/unistd_64.h'],
  x32: ['/usr/include/x86_64-linux-gnu/asm/unistd_x32.h', '-D__X32_SYSCALL_BIT=0'],
  i386: ['/usr/include/x86_64-linux-gnu/asm/unistd_32.h'],
  // What arm64's asm/unistd.h asks of the generic list.
  aarch64: [
    '/usr/include/asm-generic/unistd.h',
    '-D__x86_64__', // or x86's bitsperlong.h takes the machine for one of 32 bits
    ...[
      'RENAMEAT',
      'NEW_STAT',
      'SET_GET_RLIMIT',
      'TIME32_SYSCALLS',
      'SYS_CLONE3',
      'MEMFD_SECRET',
    ].map((name) => `-D__ARCH_WANT_${name}`),
  ],
  arm: [
    '/usr/arm-linux-gnueabihf/include/asm/unistd.h',
    '-D__ARM_EABI__',
    '-I/usr/arm-linux-gnueabihf/include',
  ],
};

/** What the preprocessor knows of `__NR_…` after a header: names and their numbers. */
function readHeader(architecture) {
  const [header, ...options] = HEADERS[architecture];
  if (!existsSync(header)) return undefined;
  const output = execFileSync(process.env.CC ?? 'cc', ['-E', '-dM', '-undef', ...options, header], {
    encoding: 'utf8',
  });
  const macros = new Map(
    Array.from(output.matchAll(/^#define (\w+) (.+)$/gm), ([, name, value]) => [
      name,
      value.trim(),
    ]),
  );
  const evaluate = (text) =>
    text
      .replaceAll(/[()]/g, '')
      .split('+')
      .map((part) => part.trim())
      .reduce(
        (sum, part) => sum + (/^\d/.test(part) ? Number(part) : evaluate(macros.get(part))),
        0,
      );
  const numbers = new Map();
  for (const [macro, value] of macros) {
    const name = /^__(?:ARM_)?NR_(\w+)$/.exec(macro)?.[1];
    const isOther =
      name === undefined ||
      /^(syscalls|arch_specific_syscall|BASE|SYSCALL_BASE|OABI_SYSCALL_BASE|SYSCALL_MASK)$/.test(
        name,
      );
    if (!isOther) numbers.set(name, evaluate(value));
  }
  return numbers;
}

function supplement(architecture, numbers) {
  const more = { ...EVERYWHERE };
  for (const [name, where] of Object.entries(ONLY)) {
    if (architecture in where) more[name] = where[architecture];
  }
  for (const [name, number] of Object.entries(more)) {
    const known = numbers.get(name);
    if (known !== undefined && known !== number)
      throw new Error(`${architecture}: ${name} is ${known}`);
    numbers.set(name, number);
  }
  return numbers;
}

function releaseOf(name) {
  for (const [release, names] of Object.entries(SINCE)) {
    if (names.split(/\s+/).includes(name)) return release.split('.').map(Number);
  }
  return [0, 0];
}

function render() {
  const columns = NAMES.map((architecture) => {
    const numbers = readHeader(architecture);
    if (numbers === undefined) throw new Error(`${HEADERS[architecture][0]} is missing`);
    return supplement(architecture, numbers);
  });
  const names = new Set(columns.flatMap((numbers) => [...numbers.keys()]));
  for (const name of FOREIGN.split(/\s+/)) names.add(name);
  const lines = [...names].sort().map((name) => {
    const numbers = columns.map((column) => column.get(name) ?? -1).join(', ');
    return `{"${name}", {${numbers}}, {${releaseOf(name).join(', ')}}},`;
  });
  return `// zone: native
// Written by scripts/syscalls.mjs. ${NAMES.join(', ')}; the release it came with.
// clang-format off
#pragma once

#include "plan/seccomp/syscall_table.h"

namespace caisson::seccomp {

constexpr Syscall kSyscalls[] = {
${lines.join('\n')}
};

}  // namespace caisson::seccomp
`;
}

/** Rows of the committed table: name → architecture → number. */
function readTable() {
  const rows = readFileSync(file, 'utf8').matchAll(/^\{"(\w+)", \{([-\d, ]+)\}/gm);
  return new Map(
    Array.from(rows, ([, name, numbers]) => [
      name,
      Object.fromEntries(
        numbers.split(', ').map((number, index) => [NAMES[index], Number(number)]),
      ),
    ]),
  );
}

/** Newer headers may know more calls; what table and header both know must be equal. */
function compareHeaders(table) {
  const wrong = [];
  for (const architecture of NAMES) {
    const numbers = readHeader(architecture);
    if (numbers === undefined) continue;
    for (const [name, number] of numbers) {
      const ours = table.get(name)?.[architecture] ?? -1;
      const isNewer = ours === -1 && number > LAST_KNOWN && number < 0xf0000;
      if (ours !== number && !isNewer)
        wrong.push(`${architecture} ${name}: ${ours}, header ${number}`);
    }
    const supplemented = supplement(architecture, new Map(numbers));
    for (const [name, row] of table) {
      if (row[architecture] !== -1 && !supplemented.has(name)) {
        wrong.push(`${architecture} ${name}: ${row[architecture]}, not in the header`);
      }
    }
  }
  return wrong;
}

// A negative answer is libseccomp's own for a call that it does not know, or that the architecture
// has only behind socketcall or ipc: it has nothing to say against the table then.
const ASK_LIBSECCOMP = `
import ctypes, json, sys
library = ctypes.CDLL("libseccomp.so.2")
asked = json.load(sys.stdin)
print(json.dumps({a: {n: library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(t), n.encode())
                      for n in asked["names"]} for a, t in asked["architectures"].items()}))
`;

function compareLibseccomp(table) {
  const asked = JSON.stringify({ names: [...table.keys()], architectures: ARCHITECTURES });
  const { status, stdout } = spawnSync('python3', ['-c', ASK_LIBSECCOMP], {
    input: asked,
    encoding: 'utf8',
  });
  if (status !== 0) return [];
  const wrong = [];
  for (const [architecture, numbers] of Object.entries(JSON.parse(stdout))) {
    for (const [name, number] of Object.entries(numbers)) {
      const theirs = architecture === 'x32' && number > 0 ? number - 0x40000000 : number;
      const ours = table.get(name)[architecture];
      if (number >= 0 && ours !== theirs) {
        wrong.push(`${architecture} ${name}: ${ours}, libseccomp ${theirs}`);
      }
    }
  }
  return wrong;
}

const [verb] = process.argv.slice(2);
if (verb === 'write') {
  writeFileSync(file, render());
} else if (verb === 'check') {
  const table = readTable();
  const wrong = [...compareHeaders(table), ...compareLibseccomp(table)];
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exitCode = 1;
} else {
  console.error('usage: node scripts/syscalls.mjs write|check');
  process.exitCode = 2;
}
