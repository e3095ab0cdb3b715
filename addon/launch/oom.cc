// zone: native
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <string>
#include <string_view>

#include "launch/cgroup_files.h"
#include "launch/launch.h"

namespace caisson::launch {
namespace {

const Hierarchy* MemoryOf(const Host& host) {
  for (const Hierarchy& hierarchy : host.hierarchies) {
    if ((hierarchy.controls & Bit(protocol::Control::kMemory)) != 0) return &hierarchy;
  }
  return nullptr;
}

constexpr char kEventsV2[] = "/memory.events";
constexpr char kControlV1[] = "/memory.oom_control";

UniqueFd OpenFile(const Hierarchy& hierarchy, const std::string& path) {
  return UniqueFd(openat(hierarchy.folder.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
}

// The kernel keeps the eventfd until that is closed, or the group is gone.
UniqueFd RegisterV1(const Hierarchy& memory, const std::string& name) {
  UniqueFd told(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const UniqueFd about = OpenFile(memory, name + kControlV1);
  if (!told || !about) return {};
  const std::string line = std::to_string(told.get()) + ' ' + std::to_string(about.get());
  const std::string file = name + "/cgroup.event_control";
  return WriteGroupFile(memory.folder.get(), file.c_str(), line) == 0 ? std::move(told)
                                                                      : UniqueFd();
}

}  // namespace

uint64_t OomKills(const Host& host, const std::string& name) {
  const Hierarchy* memory = MemoryOf(host);
  if (memory == nullptr) return 0;
  const std::string file = name + (memory->v2 ? kEventsV2 : kControlV1);
  const std::string text = ReadGroupFile(memory->folder.get(), file.c_str());
  constexpr std::string_view kKey = "oom_kill ";
  const size_t at = text.find(kKey);
  return at == std::string::npos ? 0 : strtoull(text.c_str() + at + kKey.size(), nullptr, 10);
}

OomWatch WatchOom(const Host& host, const std::string& name) {
  const Hierarchy* memory = MemoryOf(host);
  if (memory == nullptr) return {};
  if (memory->v2) return {OpenFile(*memory, name + kEventsV2), EPOLLPRI, false};
  return {RegisterV1(*memory, name), EPOLLIN, true};
}

void ClearOom(const OomWatch& watch) {
  // Both are as they were with a read: of an eventfd its eight bytes, of a file from its beginning.
  char text[256];
  if (watch.early) {
    (void)read(watch.fd.get(), text, sizeof text);
  } else {
    (void)pread(watch.fd.get(), text, sizeof text, 0);
  }
}

}  // namespace caisson::launch
