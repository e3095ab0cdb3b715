// zone: native
#include "launch/init_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/retry_eintr.h"
#include "base/unique_fd.h"
#include "init/init.h"
#include "sys/mount.h"

// The bytes of init/init.cc, as the linker gathers them.
extern "C" {
[[gnu::visibility("hidden")]] extern const uint8_t __start_caisson_init[];
[[gnu::visibility("hidden")]] extern const uint8_t __stop_caisson_init[];
[[gnu::visibility("hidden")]] extern const uint8_t caisson_init_entry[];
}

namespace caisson::launch {
namespace {

// Headers, then the code: one segment that can be executed and not written. It has no fixed place
// and no relocations.
std::vector<uint8_t> MakeExecutable() {
  struct Headers {
    Elf64_Ehdr file;
    Elf64_Phdr code;
    Elf64_Phdr stack;
  };
  constexpr size_t kCodeAt = (sizeof(Headers) + 63) & ~size_t{63};
  const auto code_bytes = static_cast<size_t>(__stop_caisson_init - __start_caisson_init);
  const size_t bytes = kCodeAt + code_bytes;

  Headers headers = {};
  Elf64_Ehdr& file = headers.file;
  memcpy(file.e_ident, ELFMAG, SELFMAG);
  file.e_ident[EI_CLASS] = ELFCLASS64;
  file.e_ident[EI_DATA] = ELFDATA2LSB;
  file.e_ident[EI_VERSION] = EV_CURRENT;
  file.e_type = ET_DYN;
#if defined(__aarch64__)
  file.e_machine = EM_AARCH64;
#else
  file.e_machine = EM_X86_64;
#endif
  file.e_version = EV_CURRENT;
  file.e_entry = kCodeAt + static_cast<size_t>(caisson_init_entry - __start_caisson_init);
  file.e_phoff = offsetof(Headers, code);
  file.e_ehsize = sizeof file;
  file.e_phentsize = sizeof headers.code;
  file.e_phnum = 2;
  headers.code.p_type = PT_LOAD;
  headers.code.p_flags = PF_R | PF_X;
  headers.code.p_filesz = headers.code.p_memsz = bytes;
  headers.code.p_align = 0x10000;  // the largest page there is
  headers.stack.p_type = PT_GNU_STACK;
  headers.stack.p_flags = PF_R | PF_W;

  std::vector<uint8_t> executable(bytes);
  memcpy(executable.data(), &headers, sizeof headers);
  memcpy(executable.data() + kCodeAt, __start_caisson_init, code_bytes);
  return executable;
}

Result<UniqueFd> MakeImage() {
  const UniqueFd context(sys::FsOpen("tmpfs"));
  if (!context || sys::FsString(context.get(), "source", "tmpfs") != 0 ||
      sys::FsString(context.get(), "size", "64k") != 0 || sys::FsCreate(context.get()) != 0) {
    return FailErrno(Step::kInit);
  }
  const UniqueFd mount(sys::FsMount(context.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (!mount) return FailErrno(Step::kInit);
  {
    const UniqueFd file(
        openat(mount.get(), init::kInitName, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
    const std::vector<uint8_t> executable = MakeExecutable();
    if (!file || fchmod(file.get(), 0555) != 0) return FailErrno(Step::kInit);
    const ssize_t wrote =
        RetryEintr([&] { return write(file.get(), executable.data(), executable.size()); });
    if (wrote != static_cast<ssize_t>(executable.size())) {
      return Fail(Step::kInit, wrote < 0 ? errno : ENOSPC);
    }
  }
  const struct mount_attr read_only = {
      .attr_set = MOUNT_ATTR_RDONLY, .attr_clr = 0, .propagation = 0, .userns_fd = 0};
  if (sys::MountSetAttr(mount.get(), 0, read_only) != 0) return FailErrno(Step::kInit);
  UniqueFd image(openat(mount.get(), init::kInitName, O_RDONLY | O_CLOEXEC));
  if (!image) return FailErrno(Step::kInit);
  return image;
}

}  // namespace

Result<int> InitImage() {
  static UniqueFd image;
  if (!image) {
    auto made = MakeImage();
    if (!made) return std::unexpected(made.error());
    image = std::move(*made);
  }
  return image.get();
}

}  // namespace caisson::launch
