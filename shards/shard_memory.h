// The memory that a spec needs of learners, estimated from its sizes in advance. It decides whether
// a learner gets a shard, and `--check` shows it. Bounds with a margin, not measurements
// (docs/performance.md#memory-of-learners compares the two). Pure functions.
#pragma once

#include <cstdint>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::shards {

// An idle learner: code of LibTorch and gRPC, arenas and threads' stacks.
inline constexpr uint64_t kLearnerProcessBytes = uint64_t{160} << 20;

// One shard, beside the process.
struct ShardMemory {
  uint64_t bytes = 0;
  uint64_t bytes_per_thread = 0;  // The same for each thread that works on it.
  uint64_t device_bytes = 0;      // On the learner's device, unless that is the CPU.

  uint64_t With(uint32_t threads) const { return bytes + threads * bytes_per_thread; }
};

// A learner's memory: what its shards take, or what it has.
struct LearnerMemory {
  uint64_t bytes = 0;
  uint64_t device_bytes = 0;  // On the device; 0 on the CPU.
};

// num_meta_parameters: Q of the outer rule; 0 without one. Returns 0 bytes for a shard that cannot
// run.
ShardMemory MemoryOf(const v1::Shard& shard, int64_t num_meta_parameters);

}  // namespace mentor::shards
