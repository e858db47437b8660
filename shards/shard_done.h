// The end of a shard, its snapshot, and the checks of both against the request. The next learner
// must be able to continue from it, and the outer rule must get what it needs. Finite but wrong
// numbers pass; computing shards twice finds those. Pure functions; threads may share.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/shard_service.pb.h"
#include "methods/base/state.h"

namespace mentor::shards {

// An error that begins so takes a shard back, at work or done. The shard used numbers that may be
// wrong, as the rest of the error says. It has not failed, and begins again.
inline constexpr char kTakenBack[] = "taken back: ";
inline bool IsTakenBack(const v1::ShardDone& done) {
  return done.error().starts_with(kTakenBack);
}

// INVALID_ARGUMENT names what is missing or does not fit. `known_form` is the form of a snapshot of
// this kind that an inner loop accepted; any other form, or "", is tried on an inner loop. Returns
// the form of the snapshot; "" without one.
absl::StatusOr<std::string> CheckShardDone(const v1::Shard& shard, const v1::ShardDone& done,
                                           int64_t num_meta_parameters,
                                           const std::string& known_form);

// A snapshot is the state of lifetimes between inner iterations.
v1::Snapshot MakeSnapshot(uint32_t iterations, const std::vector<v1::EpisodeCursor>& cursors,
                          const methods::TensorMap& state);

// Returns the state of the inner loop, and the cursors in *cursors. INVALID_ARGUMENT names a
// malformed or repeated tensor.
absl::StatusOr<methods::TensorMap> ReadSnapshot(const v1::Snapshot& snapshot,
                                                std::vector<v1::EpisodeCursor>* cursors);

}  // namespace mentor::shards
