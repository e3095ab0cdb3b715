// zone: native
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <atomic>
#include <span>

#include "base/fields.h"
#include "base/result.h"

namespace caisson::layer {

// Bytes from one process to another through memory that both have: made before the fork, then one
// of them writes and one reads. The memory is mapped twice in a row, so that what is free and what
// is there are always in one piece.
class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  [[nodiscard]] Result<> Open();

  // ---- the writer

  // Waits for room; at most `most` bytes of it.
  [[nodiscard]] std::span<uint8_t> Room(size_t most);
  void Publish(size_t bytes);
  // How the other side gets to know why there is no more. `note`: a copy of at most 256 bytes.
  void End(const Failure& failure, Bytes note);

  // ---- the reader, which has forked the writer

  // Waits for bytes; at most `most` of them. Empty: it has ended, or died.
  [[nodiscard]] Bytes Wait(pid_t writer, size_t most);
  void Consume(size_t bytes);
  // After its end: what it has said. A writer that died has failed with ECHILD.
  [[nodiscard]] Failure failure() const noexcept;
  [[nodiscard]] Bytes note() const noexcept;

 private:
  static constexpr size_t kBytes = 4 << 20;
  static constexpr size_t kNoteBytes = 256;

  struct Shared {
    std::atomic<uint64_t> written;
    std::atomic<uint64_t> read;
    // Counts what the other side may be waiting for.
    std::atomic<uint32_t> written_event;
    std::atomic<uint32_t> read_event;
    std::atomic<uint32_t> reader_waits;
    std::atomic<uint32_t> writer_waits;
    std::atomic<uint32_t> has_ended;
    uint32_t note_bytes;
    Failure failure;
    uint8_t note[kNoteBytes];
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  Shared* shared_ = nullptr;
  uint8_t* bytes_ = nullptr;
  // This side's own counts: the other could write what it likes to the shared ones.
  uint64_t written_ = 0;
  uint64_t read_ = 0;
};

}  // namespace caisson::layer
