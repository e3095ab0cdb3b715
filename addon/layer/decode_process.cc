// zone: native
#include "layer/decode_process.h"

#include <string>

#include "layer/decompressor.h"

namespace caisson::layer {
namespace {

// As much as stays in the processor's cache until the other side has read it.
constexpr size_t kPiece = 256 << 10;

Result<> Decode(BlobSource* source, Ring* ring, std::string* detail) {
  auto first = source->Next(kCodecBytes);
  if (!first) return std::unexpected(first.error());
  auto made = Decompressor::Make(CodecOf(*first), detail);
  if (!made) return std::unexpected(made.error());
  Decompressor& decompressor = **made;
  for (Bytes in = *first;;) {
    auto bytes = decompressor.Decode(&in, ring->Room(kPiece));
    if (!bytes) {
      *detail = decompressor.detail();
      return std::unexpected(bytes.error());
    }
    if (*bytes != 0) {
      ring->Publish(*bytes);
      continue;
    }
    auto next = source->Next(1);
    if (!next) return std::unexpected(next.error());
    if (next->empty()) break;
    in = *next;
  }
  auto finished = decompressor.Finish();
  if (!finished) *detail = decompressor.detail();
  return finished;
}

}  // namespace

void DecodeInto(const BlobSource::Place& place, Ring* ring) {
  BlobSource source(place);
  std::string detail;
  const auto result = Decode(&source, ring, &detail);
  if (!result) {
    ring->End(result.error(), {reinterpret_cast<const uint8_t*>(detail.data()), detail.size()});
    return;
  }
  const Sha256::Digest digest = source.Digest();
  ring->End({}, digest);
}

}  // namespace caisson::layer
