// Long messages in pieces. Splitter cuts the serialised bytes of one message; Reassembler joins
// them and refuses violations of stream.proto. Both are plain objects for one stream and one thread
// at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include "mentor/v1/stream.pb.h"

namespace mentor::rpc {

class Splitter {
 public:
  // stream_id counts the long messages of a stream from 1.
  Splitter(std::string bytes, uint64_t stream_id, size_t chunk_bytes)
      : bytes_(std::move(bytes)), stream_id_(stream_id), chunk_bytes_(chunk_bytes) {}

  bool done() const { return offset_ >= bytes_.size(); }
  // Writes the next piece. Must not be called after done().
  void Next(v1::Chunk* chunk);

 private:
  std::string bytes_;
  uint64_t stream_id_;
  size_t chunk_bytes_;
  size_t offset_ = 0;
  uint32_t index_ = 0;
};

class Reassembler {
 public:
  struct Limits {
    size_t chunk_bytes_max = 1 << 20;
    size_t message_bytes_max = 64u << 20;
  };
  explicit Reassembler(Limits limits) : limits_(limits) {}

  // Returns the whole message after its last piece, and nullopt before. INVALID_ARGUMENT: a
  // violation of the protocol. RESOURCE_EXHAUSTED: a limit. After an error the stream must end.
  absl::StatusOr<std::optional<std::string>> Add(const v1::Chunk& chunk);
  // True between the first and the last piece of a message.
  bool pending() const { return pending_; }

 private:
  const Limits limits_;
  bool pending_ = false;
  uint64_t stream_id_ = 0;  // The current message, or the last one.
  uint32_t next_index_ = 0;
  uint64_t total_bytes_ = 0;
  std::string bytes_;
};

}  // namespace mentor::rpc
