// zone: loop
#include "binding/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utility>

#include "binding/channel.h"
#include "binding/js.h"
#include "plan/protocol.h"

namespace caisson::binding {

Collect::~Collect() {
  watch_in_.Stop();
  watch_out_.Stop();
  watch_err_.Stop();
  if (done_ != nullptr) (void)napi_delete_reference(env_, done_);
  if (input_ != nullptr) (void)napi_delete_reference(env_, input_);
  free(body_);
}

bool Collect::Keep(napi_value done, napi_value input) noexcept {
  return napi_create_reference(env_, done, 1, &done_) == napi_ok &&
         (input == nullptr || napi_create_reference(env_, input, 1, &input_) == napi_ok);
}

void Collect::TakeOutputs(UniqueFd out, UniqueFd err, size_t limit) noexcept {
  out_.Open(std::move(out), limit);
  err_.Open(std::move(err), limit);
}

void Collect::TakeInput(UniqueFd pipe, Bytes bytes) noexcept {
  // The read end is still ours, so this write can neither fail for want of a reader nor block.
  in_ = std::move(pipe);
  if (!bytes.empty()) {
    const ssize_t wrote = write(in_.get(), bytes.data(), bytes.size());
    if (wrote > 0) written_ = static_cast<size_t>(wrote);
  }
  if (written_ == bytes.size()) EndInput();
}

int Collect::Start() noexcept {
  int error = watch_out_.Start<&Collect::OnOut>(poller_, out_.fd(), EPOLLIN, this);
  if (error == 0) error = watch_err_.Start<&Collect::OnErr>(poller_, err_.fd(), EPOLLIN, this);
  if (error == 0 && in_) {
    error = watch_in_.Start<&Collect::OnIn>(poller_, in_.get(), EPOLLOUT, this);
  }
  return error;
}

void Collect::OnIn(uint32_t) noexcept {
  // Fetched anew each time: the program may have detached the memory meanwhile.
  napi_value input = nullptr;
  void* data = nullptr;
  size_t size = 0;
  napi_typedarray_type type = napi_uint8_array;
  if (napi_get_reference_value(env_, input_, &input) != napi_ok || input == nullptr ||
      napi_get_typedarray_info(env_, input, &type, &size, &data, nullptr, nullptr) != napi_ok ||
      data == nullptr || size <= written_) {
    return EndInput();
  }
  constexpr size_t kMostAtOnce = 256 * 1024;
  size_t count = size - written_;
  if (count > kMostAtOnce) count = kMostAtOnce;
  const ssize_t wrote = WritePipe(in_.get(), static_cast<uint8_t*>(data) + written_, count);
  if (wrote < 0) {
    // EPIPE: the program inside wants no more of it, which is its right.
    if (errno != EAGAIN) EndInput();
    return;
  }
  written_ += static_cast<size_t>(wrote);
  if (written_ == size) EndInput();
}

void Collect::EndInput() noexcept {
  watch_in_.Stop();
  in_.reset();
  if (input_ != nullptr) (void)napi_delete_reference(env_, std::exchange(input_, nullptr));
}

void Collect::ReadSome(Output& output, Watch& watch) noexcept {
  for (int i = 0; i < kReadsAtOnce && !output.ended(); ++i) {
    switch (output.Read(poller_.scratch(), Poller::kScratchBytes)) {
      case Output::Progress::kMore:
        break;
      case Output::Progress::kDry:
        return;
      case Output::Progress::kEnded:
        watch.Stop();
        output.End();
    }
  }
}

void Collect::Drain(Output& output, Watch& watch) noexcept {
  ReadSome(output, watch);
  if (complete()) channel_.Complete(*this);
}

void Collect::Reply(uint16_t type, Bytes body) noexcept {
  if (replied_) return;
  replied_ = true;
  type_ = type;
  if (!body.empty()) {
    body_ = static_cast<uint8_t*>(malloc(body.size()));
    if (body_ != nullptr) {
      memcpy(body_, body.data(), body.size());
      body_bytes_ = body.size();
    }
  }
  EndInput();
  // Only a process that ran has writers whose end is worth waiting for.
  if (type != static_cast<uint16_t>(protocol::Type::kExited)) waits_ = false;
  // What is there is taken before anything is told, so that no last byte is lost; of most short
  // runs this is all, and the loop is not waited for once more.
  ReadSome(out_, watch_out_);
  ReadSome(err_, watch_err_);
}

napi_value Collect::BufferOf(Output& output) const noexcept {
  // Copying megabytes would hold the loop; small buffers are cheaper as V8's own.
  constexpr size_t kCopied = 64 * 1024;
  if (output.size() > kCopied) {
    const size_t size = output.size();
    uint8_t* const data = output.Release();
    napi_value buffer = nullptr;
    const napi_status status = napi_create_external_buffer(
        env_, size, data, [](napi_env, void* memory, void*) { free(memory); }, nullptr, &buffer);
    if (status == napi_ok) return buffer;
    // Embedders with a memory cage allow no external memory.
    if (status == napi_no_external_buffers_allowed) buffer = NewBuffer(env_, data, size);
    free(data);
    return buffer;
  }
  return NewBuffer(env_, output.data(), output.size());
}

void Collect::Finish() noexcept {
  const HandleScope scope(env_);
  napi_value done = nullptr;
  napi_value args[5] = {};
  const bool truncated = out_.truncated() || err_.truncated();
  const bool made = scope.ok() && napi_get_reference_value(env_, done_, &done) == napi_ok &&
                    napi_create_uint32(env_, type_, &args[0]) == napi_ok &&
                    (args[1] = NewBuffer(env_, body_, body_bytes_)) != nullptr &&
                    (args[2] = BufferOf(out_)) != nullptr &&
                    (args[3] = BufferOf(err_)) != nullptr &&
                    napi_get_boolean(env_, truncated, &args[4]) == napi_ok;
  Channel& channel = channel_;
  delete this;
  if (made) channel.CallJs(done, 5, args);
}

napi_value Collect::Snapshot() const noexcept {
  napi_value made = nullptr;
  napi_value truncated = nullptr;
  napi_value const out = NewBuffer(env_, out_.data(), out_.size());
  napi_value const err = NewBuffer(env_, err_.data(), err_.size());
  const bool ok =
      out != nullptr && err != nullptr && napi_create_object(env_, &made) == napi_ok &&
      napi_get_boolean(env_, out_.truncated() || err_.truncated(), &truncated) == napi_ok &&
      napi_set_named_property(env_, made, "stdout", out) == napi_ok &&
      napi_set_named_property(env_, made, "stderr", err) == napi_ok &&
      napi_set_named_property(env_, made, "truncated", truncated) == napi_ok;
  return ok ? made : nullptr;
}

}  // namespace caisson::binding
