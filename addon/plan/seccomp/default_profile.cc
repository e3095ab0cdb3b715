// zone: native
#include "plan/seccomp/default_profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/socket.h>

namespace caisson::seccomp {
namespace {

// For everybody.
constexpr std::string_view kAllowed =
    "_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset "
    "chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 "
    "clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range "
    "connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl "
    "epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve "
    "execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark "
    "fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr "
    "flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync "
    "ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake "
    "futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid "
    "getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername "
    "getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid "
    "getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid "
    "getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
    "ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset "
    "landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr "
    "listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack "
    "membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 "
    "mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
    "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget "
    "msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open "
    "openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free "
    "pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 "
    "process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr "
    "removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction "
    "rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop "
    "semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list "
    "set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
    "setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid "
    "setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid "
    "setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd "
    "signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 "
    "statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time "
    "timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
    "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime "
    "timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat "
    "uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write "
    "writev";

// What mounts, what makes or enters namespaces, and what looks into the kernel.
constexpr std::string_view kForAdministrators =
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
    "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree "
    "perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 "
    "unshare";

constexpr uint64_t Capability(int number) noexcept {
  return uint64_t{1} << number;
}
// Younger than the headers of the oldest systems that build this.
constexpr int kCapPerfmon = 38;
constexpr int kCapBpf = 39;

constexpr ArchitectureSet kX86Machine = Bit(Architecture::kX86_64);
constexpr ArchitectureSet kArmMachine = Bit(Architecture::kAarch64);

// AF_ALG is a road into the kernel's crypto code that few programs need (CVE-2026-31431), AF_VSOCK
// one to the hypervisor. 32-bit programs still reach both by socketcall(2), which hands the family
// over in memory: only the strict profile closes that.
constexpr Condition kFamily[][1] = {
    {{.argument = 0, .op = Operator::kLess, .low_half = true, .value = AF_ALG}},
    {{.argument = 0, .op = Operator::kEqual, .low_half = true, .value = AF_ALG + 1}},
    {{.argument = 0, .op = Operator::kGreater, .low_half = true, .value = AF_VSOCK}},
};
static_assert(AF_ALG + 2 == AF_VSOCK);

// PER_LINUX, PER_LINUX32, each with or without UNAME26, and the question which one is set.
constexpr Condition kPersonality[][1] = {
    {{.argument = 0, .op = Operator::kEqual, .value = 0x0}},
    {{.argument = 0, .op = Operator::kEqual, .value = 0x8}},
    {{.argument = 0, .op = Operator::kEqual, .value = 0x20000}},
    {{.argument = 0, .op = Operator::kEqual, .value = 0x20008}},
    {{.argument = 0, .op = Operator::kEqual, .value = 0xffffffff}},
};

// clone(2) without a new namespace. clone3 has its flags in memory, where no filter can look: it is
// said not to be there, and the C library then takes clone.
constexpr uint64_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                    CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
constexpr Condition kNoNamespace[] = {
    {.argument = 0, .op = Operator::kMaskedEqual, .value = kNewNamespaces, .value_two = 0},
};

constexpr Rule kRules[] = {
    {.names = kAllowed},
    // Before 4.8 ptrace could get around a filter.
    {.names = "process_vm_readv process_vm_writev ptrace", .needs_kernel = {4, 8}},

    {.names = "socket", .conditions = kFamily[0]},
    {.names = "socket", .conditions = kFamily[1]},
    {.names = "socket", .conditions = kFamily[2]},
    {.names = "personality", .conditions = kPersonality[0]},
    {.names = "personality", .conditions = kPersonality[1]},
    {.names = "personality", .conditions = kPersonality[2]},
    {.names = "personality", .conditions = kPersonality[3]},
    {.names = "personality", .conditions = kPersonality[4]},

    {.names = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
     .needs_machine = kArmMachine},
    {.names = "arch_prctl modify_ldt", .needs_machine = kX86Machine},

    {.names = "open_by_handle_at", .needs_capabilities = Capability(CAP_DAC_READ_SEARCH)},
    {.names = kForAdministrators, .needs_capabilities = Capability(CAP_SYS_ADMIN)},
    {.names = "clone",
     .conditions = kNoNamespace,
     .excludes_capabilities = Capability(CAP_SYS_ADMIN)},
    {.names = "clone3",
     .verdict = Refuse(ENOSYS),
     .excludes_capabilities = Capability(CAP_SYS_ADMIN)},
    {.names = "reboot", .needs_capabilities = Capability(CAP_SYS_BOOT)},
    {.names = "chroot", .needs_capabilities = Capability(CAP_SYS_CHROOT)},
    {.names = "delete_module init_module finit_module",
     .needs_capabilities = Capability(CAP_SYS_MODULE)},
    {.names = "acct", .needs_capabilities = Capability(CAP_SYS_PACCT)},
    {.names = "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
     .needs_capabilities = Capability(CAP_SYS_PTRACE)},
    {.names = "iopl ioperm", .needs_capabilities = Capability(CAP_SYS_RAWIO)},
    {.names = "settimeofday stime clock_settime clock_settime64",
     .needs_capabilities = Capability(CAP_SYS_TIME)},
    {.names = "vhangup", .needs_capabilities = Capability(CAP_SYS_TTY_CONFIG)},
    {.names = "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
     .needs_capabilities = Capability(CAP_SYS_NICE)},
    {.names = "syslog", .needs_capabilities = Capability(CAP_SYSLOG)},
    {.names = "bpf", .needs_capabilities = Capability(kCapBpf)},
    {.names = "perf_event_open", .needs_capabilities = Capability(kCapPerfmon)},
};

constexpr Profile kDefault = {
    .default_verdict = Refuse(EPERM),
    .architectures = Bit(Architecture::kX32) | Bit(Architecture::kI386) | Bit(Architecture::kArm),
    .rules = kRules,
};
constexpr Profile kStrict = {.default_verdict = Refuse(EPERM), .architectures = 0, .rules = kRules};

}  // namespace

const Profile& DefaultProfile() noexcept {
  return kDefault;
}

const Profile& StrictProfile() noexcept {
  return kStrict;
}

}  // namespace caisson::seccomp
