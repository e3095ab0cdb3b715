// zone: child
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "child/steps.h"
#include "child/target.h"
#include "sys/magic.h"
#include "sys/mount.h"
#include "sys/path.h"

namespace caisson::child {
namespace {

// The multiplexer of the container's own devpts. What lies in a folder of devpts, on the same
// mount, the kernel has made: whoever was there before us (an exec comes late) may have put another
// file system or a link in its place, but nothing into it.
int OpenMaster(int root, int* master) noexcept {
  const int folder = sys::OpenAt2(root, "dev/pts", O_PATH | O_DIRECTORY, sys::kInRoot);
  if (folder < 0) return errno;
  int error = ENODEV;
  if (sys::IsOn(folder, sys::kDevptsMagic)) {
    // It never blocks those who hold it: the container holds the other end, with flags of its own.
    *master = sys::OpenAt2(folder, "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK,
                           RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    error = *master < 0 ? errno : 0;
  }
  (void)close(folder);
  return error;
}

// The other end by the master itself: a path could mean another one's.
int OpenSlave(int master, int* slave) noexcept {
  int locked = 0;
  if (ioctl(master, TIOCSPTLCK, &locked) != 0) return errno;
  *slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave < 0) return errno;
  return sys::IsOn(*slave, sys::kDevptsMagic) ? 0 : ENODEV;
}

int SendEnds(int socket, int master, int slave) noexcept {
  const int ends[2] = {master, slave};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof ends)] = {};
  char byte = 0;
  iovec part = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof ends);
  memcpy(CMSG_DATA(header), ends, sizeof ends);
  // The raw one: glibc's is a cancellation point.
  return syscall(SYS_sendmsg, socket, &message, MSG_NOSIGNAL) == 1 ? 0 : errno;
}

}  // namespace

// Its master goes to the supervisor. So does the slave: while somebody outside holds it, a process
// that closes its terminal and opens it again does not end it.
int OpenTerminal(Context& context) noexcept {
  const ProcessPlan& process = *context.process;
  if (!process.terminal) return 0;
  if (context.terminal < 0) return EBADF;
  int master = -1;
  int slave = -1;
  int error = OpenMaster(context.rootfs, &master);
  if (error == 0) error = OpenSlave(master, &slave);
  if (error != 0) return error;
  // Whom it belongs to; its group and mode are devpts' own. An id that is not mapped here cannot be
  // taken on either, which is said later.
  const bool owned = fchown(slave, context.ids.uid, static_cast<gid_t>(-1)) == 0;
  if (!owned && errno != EINVAL && errno != EPERM) return errno;
  const winsize size = {
      .ws_row = process.rows, .ws_col = process.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (ioctl(slave, TIOCSWINSZ, &size) != 0) return errno;
  error = SendEnds(context.terminal, master, slave);
  if (error != 0) return error;
  (void)close(master);
  for (int& fd : context.stdio) fd = slave;
  return 0;
}

// As Docker has it: what is written to /dev/console is seen on the container's terminal.
int BindConsole(Context& context) noexcept {
  if (!context.process->terminal) return 0;
  Target console;
  int error =
      OpenTarget(context.rootfs, "/dev/console", TargetKind::kFile, Links::kRefuse, &console);
  if (error != 0) return error;
  const int mount =
      sys::OpenTree(context.stdio[0], "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  if (mount < 0 || sys::MoveMount(mount, console.fd) != 0) error = errno;
  if (mount >= 0) (void)close(mount);
  (void)close(console.fd);
  return error;
}

// In the new session, which has none. With an init the command has a session of its own.
int TakeTerminal(Context& context) noexcept {
  if (!context.process->terminal || context.init >= 0) return 0;
  return ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0 ? 0 : errno;
}

}  // namespace caisson::child
