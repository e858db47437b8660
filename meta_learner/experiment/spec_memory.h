// The memory that an experiment takes of learners and of the meta-learner, reckoned from its spec
// before it runs. What one shard takes is learner/shard_memory.h's. Pure functions.
#pragma once

#include <optional>

#include "common/violations.h"
#include "learner/shard_memory.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// Threads of a learner that nobody has said anything about (learner/main.cc).
inline constexpr uint32_t kUsualLearnerThreads = 2;

struct SpecMemory {
  learner::ShardMemory largest, smallest;  // Of the shards of an outer update, or an evaluation.
  learner::ShardMemory one_lifetime;       // Of a shard of one lifetime.
  uint64_t meta_learner_bytes = 0;         // With its process and nothing else at work.
  uint64_t meta_learner_device_bytes = 0;  // Of its device, where that is not the CPU.
};

// Nothing for a spec that cannot be run.
std::optional<SpecMemory> MemoryOfSpec(const v1::ExperimentSpec& spec);
// A violation where the meta-learner's machine has less for it; 0 bytes: nobody knows how much.
void CheckMachine(const SpecMemory& memory, uint64_t machine_bytes, Violations* violations);

}  // namespace mentor::meta_learner
