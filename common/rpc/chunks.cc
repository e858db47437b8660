#include "common/rpc/chunks.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"

namespace mentor::rpc {

void Splitter::Next(v1::Chunk* chunk) {
  MENTOR_CHECK(!done());
  const size_t size = std::min(chunk_bytes_, bytes_.size() - offset_);
  chunk->set_stream_id(stream_id_);
  chunk->set_index(index_);
  if (index_ == 0) chunk->set_total_bytes(bytes_.size());
  chunk->set_data(bytes_.data() + offset_, size);
  offset_ += size;
  ++index_;
  chunk->set_last(done());
}

absl::StatusOr<std::optional<std::string>> Reassembler::Add(const v1::Chunk& chunk) {
  const size_t size = chunk.data().size();
  if (size == 0 || size > limits_.chunk_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("chunk %u of message %u has %u bytes, expected 1 to %u", chunk.index(),
                        chunk.stream_id(), size, limits_.chunk_bytes_max));
  }
  if (!pending_) {
    if (chunk.index() != 0 || chunk.stream_id() <= stream_id_) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "chunk %u of message %u does not begin a message: expected chunk 0 of a message above %u",
          chunk.index(), chunk.stream_id(), stream_id_));
    }
    if (chunk.total_bytes() > limits_.message_bytes_max) {
      return absl::ResourceExhaustedError(
          absl::StrFormat("message %u declares %u bytes, the limit is %u", chunk.stream_id(),
                          chunk.total_bytes(), limits_.message_bytes_max));
    }
    pending_ = true;
    stream_id_ = chunk.stream_id();
    next_index_ = 0;
    total_bytes_ = chunk.total_bytes();
    bytes_.clear();
    bytes_.reserve(total_bytes_);
  }
  if (chunk.stream_id() != stream_id_ || chunk.index() != next_index_) {
    return absl::InvalidArgumentError(
        absl::StrFormat("chunk %u of message %u came, expected chunk %u of message %u",
                        chunk.index(), chunk.stream_id(), next_index_, stream_id_));
  }
  if (size > total_bytes_ - bytes_.size() ||
      chunk.last() != (bytes_.size() + size == total_bytes_)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "message %u declared %u bytes, chunk %u%s brings %u", stream_id_, total_bytes_,
        chunk.index(), chunk.last() ? " (the last)" : "", bytes_.size() + size));
  }
  bytes_ += chunk.data();
  ++next_index_;
  if (!chunk.last()) return std::optional<std::string>();
  pending_ = false;
  return std::optional<std::string>(std::exchange(bytes_, {}));
}

}  // namespace mentor::rpc
