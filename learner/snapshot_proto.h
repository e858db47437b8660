// Snapshots on the wire: what lifetimes carry from one inner iteration to the next. Pure.
#pragma once

#include <vector>

#include <absl/status/statusor.h>

#include "learner/inner_loops/tensor_map.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

v1::Snapshot MakeSnapshot(uint32_t iterations, const std::vector<v1::EpisodeCursor>& cursors,
                          const TensorMap& state);

// The state of the inner loop; the cursors into *cursors. INVALID_ARGUMENT names a tensor that is
// malformed or there twice.
absl::StatusOr<TensorMap> ReadSnapshot(const v1::Snapshot& snapshot,
                                       std::vector<v1::EpisodeCursor>* cursors);

}  // namespace mentor::learner
