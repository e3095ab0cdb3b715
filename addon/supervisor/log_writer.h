// zone: native
#pragma once

#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "supervisor/hands.h"
#include "supervisor/loop.h"

namespace caisson {

// A container's stdout and stderr, from their pipes to the log file, as records:
//
//   u32 payload bytes · u8 stream (1 stdout, 2 stderr) · u8 flags · u16 0 · u64 time, ns since 1970
//   payload
//
// flags 0: payload is what was written. flags kLost: payload is one u64, how many bytes of this
// stream were dropped before this point because the file could not be written (disk full).
//
// Writing to a regular file is the one thing the loop does that may take a moment (it goes to the
// page cache); the amount per turn is bounded. The container never waits for the disk: what cannot
// be written is dropped and counted. It waits while a full file is exchanged for the next (by a
// hand).
class LogWriter {
 public:
  static constexpr uint8_t kLost = 1;

  struct Options {
    std::string path;
    uint64_t max_bytes = 0;  // of one file; 0: no bound
    uint32_t files = 1;
  };

  LogWriter(Loop& loop, Jobs& jobs, Options options, UniqueFd stdout_pipe, UniqueFd stderr_pipe);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  ~LogWriter();

  // The file has been opened: from now on it is written.
  void Begin(UniqueFd file);
  // Takes the master of a terminal for its stdout.
  void Follow(UniqueFd terminal);
  // Nobody writes any more: takes what is left in the pipes, then calls `drained`.
  void Drain(std::function<void()> drained);

 private:
  struct Stream {
    UniqueFd pipe;
    Loop::Token token = 0;
    uint64_t lost = 0;
  };
  enum class Took { kSome, kNothing, kFull };

  void Listen();
  void OnReady(size_t index);
  Took TakeSome(size_t index);
  void Write(size_t index, size_t bytes);
  bool WriteRecord(size_t total);
  void Rotate();
  void OnRotated(Message reply);
  void MaybeDrained();

  Loop& loop_;
  Jobs& jobs_;
  Options options_;
  UniqueFd file_;
  uint64_t file_bytes_ = 0;
  Stream streams_[2];
  bool rotating_ = false;
  std::function<void()> drained_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace caisson
