// Limits the number of streams of all servers of this process together. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status.h"

namespace mentor::rpc {

inline constexpr int kStreamsMax = 4096;

// A slot for one stream, held for the stream's whole life. A reactor has it as a member; a stream
// without a slot ends at once with status().
class StreamSlot {
 public:
  StreamSlot() : taken_(count_.fetch_add(1, std::memory_order_relaxed) < limit_.load()) {}
  ~StreamSlot() { count_.fetch_sub(1, std::memory_order_relaxed); }
  StreamSlot(const StreamSlot&) = delete;
  StreamSlot& operator=(const StreamSlot&) = delete;

  absl::Status status() const {
    if (taken_) return absl::OkStatus();
    return WithRetryDelay(
        MakeError(absl::StatusCode::kResourceExhausted, Reason::kTooManyStreams,
                  absl::StrCat("this server has ", limit_.load(), " streams and takes no more")),
        std::chrono::seconds(5));
  }
  // Tests only.
  static void SetLimit(int limit) { limit_ = limit; }

 private:
  inline static std::atomic<int> count_{0};
  inline static std::atomic<int> limit_{kStreamsMax};
  const bool taken_;
};

}  // namespace mentor::rpc
