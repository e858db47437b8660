// What came with the end of a shard, against what the shard asks for: whatever a learner says, the
// next one must be able to go on from it, and the outer rule must get what it needs. Numbers that
// are finite and wrong are not seen here: shards are computed twice for that. Pure functions;
// threads may share.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// INVALID_ARGUMENT names what is missing or does not fit. `known_form` is the form of a snapshot of
// this kind that an inner loop has taken; another one, or "", is given to an inner loop to see.
// Returns the form of the snapshot; "" without one.
absl::StatusOr<std::string> CheckShardDone(const v1::Shard& shard, const v1::ShardDone& done,
                                           int64_t num_meta_parameters,
                                           const std::string& known_form);

}  // namespace mentor::learner
