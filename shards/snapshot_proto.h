// Snapshots on the wire: the state of lifetimes between inner iterations. Pure.
#pragma once

#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/shard_service.pb.h"
#include "methods/base/tensor_map.h"

namespace mentor::learner {

v1::Snapshot MakeSnapshot(uint32_t iterations, const std::vector<v1::EpisodeCursor>& cursors,
                          const TensorMap& state);

// Returns the state of the inner loop, and the cursors in *cursors. INVALID_ARGUMENT names a
// malformed or repeated tensor.
absl::StatusOr<TensorMap> ReadSnapshot(const v1::Snapshot& snapshot,
                                       std::vector<v1::EpisodeCursor>* cursors);

}  // namespace mentor::learner
