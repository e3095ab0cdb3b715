// zone: init
//
// Process 1 of a container with `init`: starts the command, hands signals on to it, waits for every
// orphan, and ends as the command did. A program of its own: launch/init_image.cc makes an
// executable of this section's bytes alone, so that nothing of whoever starts it is in the reach of
// the container. So there is nothing but system calls, code and the stack: no libc, no constants in
// memory, no variables (scripts/check-symbols looks).
//
//   argv: its own name, path of the command's executable, the command's argv
//   descriptor kInitReport: open until the command was executed, as for every child
//   all signals are blocked: what was sent while the container started waits for us
#include "init/init.h"

#include <asm/errno.h>
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "base/failure.h"

#define IN_INIT [[gnu::section("caisson_init"), gnu::no_sanitize("address", "undefined")]]
#define PART_OF_INIT [[gnu::always_inline, gnu::no_sanitize("address", "undefined")]] inline

namespace caisson::init {
namespace {

// The result, or a negative errno.
PART_OF_INIT long Call(long number, long a = 0, long b = 0, long c = 0, long d = 0) noexcept {
#if defined(__x86_64__)
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = 0;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = 0;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "no init for this architecture"
#endif
}

PART_OF_INIT long Address(const volatile void* pointer) noexcept {
  return reinterpret_cast<long>(pointer);
}

PART_OF_INIT void Report(Step step, long error) noexcept {
  const volatile Failure failure = {
      .step = step, .reserved = 0, .error = static_cast<int32_t>(-error), .index = 0};
  (void)Call(__NR_write, kInitReport, Address(&failure), sizeof failure);
}

// As it would run without us: leader of its session, with the terminal, if there is one.
PART_OF_INIT void Become(const char* path, char** argv, char** envp) noexcept {
  (void)Call(__NR_setsid);
  (void)Call(__NR_ioctl, 0, TIOCSCTTY, 0);
  (void)Call(__NR_fcntl, kInitReport, F_SETFD, FD_CLOEXEC);
  const volatile uint64_t none = 0;
  (void)Call(__NR_rt_sigprocmask, SIG_SETMASK, Address(&none), 0, sizeof none);
  Report(Step::kExec, Call(__NR_execve, Address(path), Address(argv), Address(envp)));
}

// A process 1 cannot end by a signal that its namespace sends it. The exit code is what Docker's
// says; which it was, a signal or such a code, the supervisor sees by the name we die with.
PART_OF_INIT void EndLike(int status) noexcept {
  const int signal = status & 0x7f;
  if (signal == 0) (void)Call(__NR_exit_group, status >> 8 & 0xff);
  volatile char name[kInitSignalName + 3] = {'s', 'i', 'g', 'n', 'a', 'l', ' '};
  name[kInitSignalName] = static_cast<char>('0' + signal / 10);
  name[kInitSignalName + 1] = static_cast<char>('0' + signal % 10);
  (void)Call(__NR_prctl, PR_SET_NAME, Address(name));
  (void)Call(__NR_exit_group, 128 + signal);
}

}  // namespace

// Only as text below is its name the one that is called.
extern "C" {
IN_INIT [[noreturn, gnu::used, gnu::visibility("hidden")]] void caisson_init_main(
    long* stack) noexcept {
  auto** const argv = reinterpret_cast<char**>(stack + 1);
  char** const envp = argv + *stack + 1;
  (void)Call(__NR_prctl, PR_SET_NAME, Address(argv[0]));
  // Where the pid namespace is another's, orphans come to us all the same.
  (void)Call(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1);
  const long command = Call(__NR_clone, SIGCHLD);
  if (command == 0) {
    Become(argv[1], argv + 2, envp);
    (void)Call(__NR_exit_group, 127);
  }
  if (command < 0) {
    Report(Step::kInit, command);
    (void)Call(__NR_exit_group, 127);
  }
  // The streams are the command's alone: their end is seen when it closes them.
  for (int fd = 0; fd <= kInitReport; ++fd) (void)Call(__NR_close, fd);

  for (;;) {
    const volatile uint64_t all = ~uint64_t{0};
    const long signal = Call(__NR_rt_sigtimedwait, Address(&all), 0, 0, sizeof all);
    // It has not been waited for, so the number is still its own.
    if (signal > 0 && signal != SIGCHLD) (void)Call(__NR_kill, command, signal);
    // A filter of the container's that does not let us wait for signals: then only for children.
    const int wait = (signal > 0 || signal == -EINTR ? WNOHANG : 0) | __WALL;
    for (;;) {
      volatile int status = 0;
      const long ended = Call(__NR_wait4, -1, Address(&status), wait);
      if (ended == command) EndLike(status);
      if (ended <= 0) break;
    }
  }
}
}

// The entry, whose place in the section is known by its name.
#if defined(__x86_64__)
asm(R"(
  .pushsection caisson_init, "ax", @progbits
  .hidden caisson_init_entry
  .globl caisson_init_entry
caisson_init_entry:
  xorl %ebp, %ebp
  movq %rsp, %rdi
  andq $-16, %rsp
  call caisson_init_main
  .popsection
)");
#elif defined(__aarch64__)
asm(R"(
  .pushsection caisson_init, "ax", @progbits
  .hidden caisson_init_entry
  .globl caisson_init_entry
caisson_init_entry:
  mov x29, #0
  mov x0, sp
  bl caisson_init_main
  .popsection
)");
#endif

}  // namespace caisson::init
