#include "shards/snapshot_proto.h"

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "shards/tensor_proto.h"

namespace mentor::learner {

v1::Snapshot MakeSnapshot(uint32_t iterations, const std::vector<v1::EpisodeCursor>& cursors,
                          const TensorMap& state) {
  v1::Snapshot snapshot;
  snapshot.set_iterations(iterations);
  for (const v1::EpisodeCursor& cursor : cursors) *snapshot.add_cursors() = cursor;
  for (const auto& [name, tensor] : state) {
    v1::NamedTensor& named = *snapshot.add_tensors();
    named.set_name(name);
    *named.mutable_tensor() = ToProto(tensor.contiguous());
  }
  return snapshot;
}

absl::StatusOr<TensorMap> ReadSnapshot(const v1::Snapshot& snapshot,
                                       std::vector<v1::EpisodeCursor>* cursors) {
  cursors->assign(snapshot.cursors().begin(), snapshot.cursors().end());
  TensorMap state;
  for (const v1::NamedTensor& named : snapshot.tensors()) {
    MENTOR_ASSIGN_OR_RETURN(torch::Tensor tensor,
                            FromProto(named.tensor(), "snapshot: " + named.name()));
    if (!state.emplace(named.name(), std::move(tensor)).second) {
      return absl::InvalidArgumentError(
          absl::StrFormat("snapshot: tensor '%s' is there twice", named.name()));
    }
  }
  return state;
}

}  // namespace mentor::learner
