// The memory that an experiment takes of learners and of the meta-learner, estimated from its spec
// before it runs. shards/shard_memory.h estimates one shard. Pure functions.
#pragma once

#include <cstdint>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"
#include "shards/shard_memory.h"

namespace mentor::meta_learner {

struct ExperimentParts;

// Threads of a learner by default (learner/main.cc).
inline constexpr uint32_t kUsualLearnerThreads = 2;

struct SpecMemory {
  shards::ShardMemory largest, smallest;   // Over the shards of outer updates and evaluations.
  shards::ShardMemory one_lifetime;        // For a shard of one lifetime.
  uint64_t meta_learner_bytes = 0;         // With its idle process.
  uint64_t meta_learner_device_bytes = 0;  // On its device, unless that is the CPU.
};

// For a spec with its defaults, whose parts were made without violations.
SpecMemory MemoryOfParts(const v1::ExperimentSpec& spec, const ExperimentParts& parts);
// Adds a violation where agents live on over outer updates (RuleNeeds::decisions_inside_lifetime)
// and a shard's snapshots of them do not fit into a message. For such parts.
void CheckSnapshots(const v1::ExperimentSpec& spec, const ExperimentParts& parts,
                    Violations* violations);
// Adds a violation when the meta-learner's machine has less memory; 0 bytes: unknown.
void CheckMachine(const SpecMemory& memory, uint64_t machine_bytes, Violations* violations);

}  // namespace mentor::meta_learner
