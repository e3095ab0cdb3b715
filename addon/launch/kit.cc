// zone: native
#include "launch/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <initializer_list>

#include "launch/launch.h"
#include "launch/short_child.h"
#include "sys/bind_nodes.h"
#include "sys/device_nodes.h"
#include "sys/loopback.h"
#include "sys/mount.h"

namespace caisson::launch {
namespace {

struct Option {
  const char* key;
  const char* value;
};

// A new file system as a detached mount without attributes. 0 or errno.
int MakeFileSystem(const char* type, std::initializer_list<Option> options, int* mount) noexcept {
  const UniqueFd context(sys::FsOpen(type));
  if (!context || sys::FsString(context.get(), "source", type) != 0) return errno;
  for (const Option& option : options) {
    const int set = option.value == nullptr
                        ? sys::FsFlag(context.get(), option.key)
                        : sys::FsString(context.get(), option.key, option.value);
    if (set != 0) return errno;
  }
  if (sys::FsCreate(context.get()) != 0) return errno;
  *mount = sys::FsMount(context.get(), 0);
  return *mount < 0 ? errno : 0;
}

struct Namespaces {
  int proc = -1;
  int net = -1;
  int ipc = -1;
  int uts = -1;
  int sys = -1;
  int mqueue = -1;
  Failure failure;
};

int OpenOwn(int proc, const char* name) noexcept {
  return openat(proc, name, O_RDONLY | O_CLOEXEC);
}

void Make(Namespaces* made) noexcept {
  const auto fail = [made](Step step, int error) {
    made->failure = {.step = step, .error = error};
  };
  if (const int error = sys::RaiseLoopback(); error != 0) return fail(Step::kLoopback, error);
  const UniqueFd socket_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return fail(Step::kNetNamespace, errno);
  made->net = ioctl(socket_fd.get(), SIOCGSKNS);
  if (made->net < 0) return fail(Step::kNetNamespace, errno);
  made->ipc = OpenOwn(made->proc, "self/ns/ipc");
  if (made->ipc < 0) return fail(Step::kNetNamespace, errno);
  made->uts = OpenOwn(made->proc, "self/ns/uts");
  if (made->uts < 0) return fail(Step::kNetNamespace, errno);
  // These two show the namespaces of whoever makes them.
  if (const int error = MakeFileSystem("sysfs", {}, &made->sys); error != 0) {
    return fail(Step::kMount, error);
  }
  if (const int error = MakeFileSystem("mqueue", {}, &made->mqueue); error != 0) {
    return fail(Step::kMount, error);
  }
}

Result<> MakeNamespaces(const Host& host, Kit* kit) {
  Namespaces made;
  made.proc = host.proc.get();
  const auto ran = RunInShortChild(
      CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, Step::kNetNamespace,
      [](void* argument) { Make(static_cast<Namespaces*>(argument)); }, &made);
  if (!ran) return ran;
  (*kit)[Part::kNet].reset(made.net);
  (*kit)[Part::kIpc].reset(made.ipc);
  (*kit)[Part::kUts].reset(made.uts);
  (*kit)[Part::kSys].reset(made.sys);
  (*kit)[Part::kMqueue].reset(made.mqueue);
  if (made.failure.step != Step::kNone) return std::unexpected(made.failure);
  return {};
}

int BindHostNodes(const Host& host, int devices) noexcept {
  const UniqueFd from(open(host.devices.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd to(openat(devices, sys::kDevicesFolder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  return from && to ? sys::BindNodes(from.get(), to.get()) : errno;
}

int MakePts(const Host& host, int* mount) noexcept {
  const Option all = {"newinstance", nullptr};
  int error =
      MakeFileSystem("devpts", {all, {"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}}, mount);
  if (error == EINVAL && host.rootless) {
    // Group 5 is not mapped in this user namespace: terminals then belong to the opener's group.
    error = MakeFileSystem("devpts", {all, {"ptmxmode", "0666"}, {"mode", "0620"}}, mount);
  }
  return error;
}

}  // namespace

bool HasHostNodes(int devices) {
  const UniqueFd node(openat(devices, sys::kDevicesNull, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  return node && sys::IsDevice(node.get(), sys::kDeviceNodes[0]);
}

Result<Kit> MakeKit(const Host& host) {
  Kit kit;
  if (auto made = MakeNamespaces(host, &kit); !made) return std::unexpected(made.error());
  auto devices = MakeDevices(host, nullptr);
  if (!devices) return std::unexpected(devices.error());
  // Onto a detached mount from linux 6.15 on; before, the child does it once it is attached.
  if (host.rootless) (void)BindHostNodes(host, devices->get());
  kit[Part::kDevices] = std::move(*devices);
  int mount = -1;
  if (const int error = MakePts(host, &mount); error != 0) return Fail(Step::kMount, error);
  kit[Part::kPts].reset(mount);
  if (const int error = MakeFileSystem("tmpfs", {{"mode", "1777"}, {"size", "64m"}}, &mount);
      error != 0) {
    return Fail(Step::kMount, error);
  }
  kit[Part::kShm].reset(mount);
  return kit;
}

}  // namespace caisson::launch
