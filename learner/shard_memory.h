// The memory that a spec needs of learners, reckoned from its sizes before any of it is taken: what
// decides whether a learner gets a shard, what `--check` shows. Bounds that hold with a margin, not
// measurements (docs/performance.md#memory-of-learners compares the two). Pure functions.
#pragma once

#include <cstdint>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// A learner that works on nothing: LibTorch's and gRPC's code, arenas and threads' stacks.
inline constexpr uint64_t kLearnerProcessBytes = uint64_t{160} << 20;

// Of one shard, beside that of the process.
struct ShardMemory {
  uint64_t bytes = 0;
  uint64_t bytes_per_thread = 0;  // And this for each thread that works on it.
  uint64_t device_bytes = 0;      // Of the learner's device, where that is not the CPU.

  uint64_t With(uint32_t threads) const { return bytes + threads * bytes_per_thread; }
};

// Of a learner: what its shards take of it, or what it has.
struct LearnerMemory {
  uint64_t bytes = 0;
  uint64_t device_bytes = 0;  // Of the device; 0 on the CPU.
};

// num_meta_parameters: Q of the outer rule; 0 without any. 0 bytes for a shard that cannot be run.
ShardMemory MemoryOf(const v1::Shard& shard, int64_t num_meta_parameters);

}  // namespace mentor::learner
