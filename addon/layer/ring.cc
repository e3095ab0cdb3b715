// zone: native
#include "layer/ring.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/unique_fd.h"

namespace caisson::layer {
namespace {

constexpr size_t kPage = 4096;

// Until `word` is no longer `seen`, a wake, or a second has passed.
void FutexWait(const std::atomic<uint32_t>& word, uint32_t seen) noexcept {
  const timespec second = {.tv_sec = 1, .tv_nsec = 0};
  (void)syscall(SYS_futex, &word, FUTEX_WAIT, seen, &second, nullptr, 0);
}

void FutexWake(const std::atomic<uint32_t>& word) noexcept {
  (void)syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

// After something was published: the counter first, so that who is about to sleep does not.
void Announce(std::atomic<uint32_t>* event, const std::atomic<uint32_t>& waits) noexcept {
  event->fetch_add(1);
  if (waits.load() != 0) FutexWake(*event);
}

// `is_ready` is asked again after each change.
template <typename IsReady, typename GiveUp>
void Await(const std::atomic<uint32_t>& event, std::atomic<uint32_t>* waits, IsReady is_ready,
           GiveUp give_up) noexcept {
  while (!is_ready()) {
    const uint32_t seen = event.load();
    waits->store(1);
    if (!is_ready()) FutexWait(event, seen);
    waits->store(0);
    if (!is_ready() && give_up()) return;
  }
}

}  // namespace

Ring::~Ring() {
  if (shared_ != nullptr) (void)munmap(shared_, kPage);
  if (bytes_ != nullptr) (void)munmap(bytes_, 2 * kBytes);
}

Result<> Ring::Open() {
  static_assert(sizeof(Shared) <= kPage);
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  const UniqueFd memory(static_cast<int>(syscall(SYS_memfd_create, "ring", MFD_CLOEXEC)));
  if (!memory || ftruncate(memory.get(), kBytes + kPage) != 0) return FailErrno(Step::kUnpack);
  void* shared = mmap(nullptr, kPage, kBoth, MAP_SHARED, memory.get(), kBytes);
  if (shared == MAP_FAILED) return FailErrno(Step::kUnpack);
  shared_ = static_cast<Shared*>(shared);  // all zeros: nothing written, nothing read
  void* place = mmap(nullptr, 2 * kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) return FailErrno(Step::kUnpack);
  bytes_ = static_cast<uint8_t*>(place);
  for (uint8_t* half : {bytes_, bytes_ + kBytes}) {
    if (mmap(half, kBytes, kBoth, MAP_SHARED | MAP_FIXED, memory.get(), 0) == MAP_FAILED) {
      return FailErrno(Step::kUnpack);
    }
  }
  return {};
}

std::span<uint8_t> Ring::Room(size_t most) {
  // Not a few bytes at a time: the other side would be woken for each.
  const size_t least = std::min(most, kBytes / 16);
  uint64_t used = 0;
  Await(
      shared_->read_event, &shared_->writer_waits,
      [&] {
        used = written_ - shared_->read.load();
        return used <= kBytes - least;
      },
      [] { return false; });  // When the reader dies, the kernel ends this process, too.
  return {bytes_ + written_ % kBytes, std::min<size_t>(most, kBytes - used)};
}

void Ring::Publish(size_t bytes) {
  written_ += bytes;
  shared_->written.store(written_);
  Announce(&shared_->written_event, shared_->reader_waits);
}

void Ring::End(const Failure& failure, Bytes note) {
  shared_->failure = failure;
  shared_->note_bytes = static_cast<uint32_t>(std::min(note.size(), kNoteBytes));
  if (!note.empty()) memcpy(shared_->note, note.data(), shared_->note_bytes);
  shared_->has_ended.store(1);
  Announce(&shared_->written_event, shared_->reader_waits);
}

Bytes Ring::Wait(pid_t writer, size_t most) {
  uint64_t there = 0;
  bool has_ended = false;
  Await(
      shared_->written_event, &shared_->reader_waits,
      [&] {
        // In this order: what was written before the end is there when the end is seen.
        has_ended = shared_->has_ended.load() != 0;
        there = shared_->written.load() - read_;
        return there != 0 || has_ended;
      },
      [&] { return waitpid(writer, nullptr, WNOHANG) != 0; });
  return {bytes_ + read_ % kBytes, std::min<size_t>(std::min(there, uint64_t{kBytes}), most)};
}

void Ring::Consume(size_t bytes) {
  read_ += bytes;
  shared_->read.store(read_);
  Announce(&shared_->read_event, shared_->writer_waits);
}

Failure Ring::failure() const noexcept {
  if (shared_->has_ended.load() == 0) return {Step::kUnpack, 0, ECHILD, 0};
  Failure failure = shared_->failure;
  if (failure.step >= Step::kCount) failure.step = Step::kUnpack;
  return failure;
}

Bytes Ring::note() const noexcept {
  return {shared_->note, std::min<size_t>(shared_->note_bytes, kNoteBytes)};
}

}  // namespace caisson::layer
