// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child/filesystem.h"
#include "child/number.h"
#include "child/steps.h"
#include "sys/path.h"
#include "sys/rlimit.h"

namespace caisson::child {
namespace {

constexpr size_t kMaxKey = 256;

// "net.ipv4.ip_forward" or "net/ipv4/ip_forward" to the path below procfs. With a slash in it, dots
// belong to the names (an interface "eth0.1").
int WriteSysctl(int proc, const SysctlItem& item) noexcept {
  char path[kMaxKey + 4] = "sys/";
  const size_t length = strlen(item.key);
  if (length >= kMaxKey) return ENAMETOOLONG;
  const bool dotted = strchr(item.key, '/') == nullptr;
  for (size_t i = 0; i <= length; ++i) {
    path[4 + i] = dotted && item.key[i] == '.' ? '/' : item.key[i];
  }
  const int fd =
      sys::OpenAt2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (fd < 0) return errno;
  const size_t bytes = strlen(item.value);
  const ssize_t written = write(fd, item.value, bytes);
  const int error = written < 0 ? errno : static_cast<size_t>(written) == bytes ? 0 : EIO;
  (void)close(fd);
  return error;
}

}  // namespace

// A procfs of this pid namespace, for what is written through it: the one just mounted, or one that
// is attached nowhere.
int OpenProc(Context& context) noexcept {
  const LaunchPlan* launch = context.launch;
  const bool needed =
      (launch != nullptr && (launch->sysctls.count != 0 || launch->time_offsets.count != 0)) ||
      context.process->set_oom_score_adj || context.process->apparmor != nullptr ||
      context.process->selinux != nullptr || context.subreaper;
  if (!needed || context.proc >= 0) return 0;
  return MakeDetached({.type = "proc", .data = {}}, &context.proc);
}

int WriteSysctls(Context& context) noexcept {
  const List<SysctlItem>& sysctls = context.launch->sysctls;
  for (uint32_t i = 0; i < sysctls.count; ++i) {
    context.index = i;
    if (const int error = WriteSysctl(context.proc, sysctls.items[i]); error != 0) return error;
  }
  return 0;
}

int SetOomScore(Context& context) noexcept {
  if (!context.process->set_oom_score_adj || context.oom_score_set) return 0;
  char text[16];
  const int32_t value = context.process->oom_score_adj;
  text[0] = '-';
  WriteNumber(text + (value < 0 ? 1 : 0), static_cast<uint32_t>(value < 0 ? -value : value));
  const size_t length = strlen(text);

  const int fd = sys::OpenProcFile(context.proc, "self/oom_score_adj", O_WRONLY);
  if (fd < 0) return errno;
  const int error = write(fd, text, length) == static_cast<ssize_t>(length) ? 0 : errno;
  (void)close(fd);
  return error;
}

int SetHostname(Context& context) noexcept {
  const char* name = context.launch->hostname;
  if (name != nullptr && syscall(SYS_sethostname, name, strlen(name)) != 0) return errno;
  const char* domain = context.launch->domainname;
  if (domain != nullptr && syscall(SYS_setdomainname, domain, strlen(domain)) != 0) return errno;
  return 0;
}

int SetRlimits(Context& context) noexcept {
  const List<RlimitItem>& rlimits = context.process->rlimits;
  for (uint32_t i = 0; i < rlimits.count; ++i) {
    context.index = i;
    const RlimitItem& item = rlimits.items[i];
    if (sys::SetRlimit(item.kind, item.soft, item.hard) != 0) return errno;
  }
  return 0;
}

}  // namespace caisson::child
