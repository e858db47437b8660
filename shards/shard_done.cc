#include "shards/shard_done.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <map>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/failed_step.h"
#include "common/metric_info.h"
#include "common/violations.h"
#include "methods/base/inner_loop.h"
#include "shards/tensor_proto.h"

namespace mentor::shards {
namespace {

absl::Status CheckCursor(const v1::Shard& shard, uint32_t end, const v1::EpisodeCursor& cursor) {
  // An episode has at least one step.
  const uint64_t steps =
      uint64_t{end} * shard.collections() * shard.spec().lifetime().steps_per_iteration();
  const bool inside = cursor.step() > 0;
  if (cursor.step() >= shard.shape().episode_steps() || cursor.episode() > steps ||
      inside == cursor.state().empty() || (inside && cursor.prev_done()) ||
      !std::isfinite(cursor.shaped_return())) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "a lifetime stands at step %d of episode %d with %d bytes of state; episodes have %d steps",
        cursor.step(), cursor.episode(), cursor.state().size(), shard.shape().episode_steps()));
  }
  return absl::OkStatus();
}

// Names, types and shapes; never empty.
std::string FormOf(const v1::Snapshot& snapshot) {
  std::vector<std::string> forms;
  for (const v1::NamedTensor& named : snapshot.tensors()) {
    forms.push_back(absl::StrCat(named.name(), " ", named.tensor().dtype(), " ",
                                 absl::StrJoin(named.tensor().shape(), "x")));
  }
  std::sort(forms.begin(), forms.end());
  return absl::StrCat("tensors:\n", absl::StrJoin(forms, "\n"));
}

absl::Status TryToLoad(const v1::Shard& shard, const methods::TensorMap& state,
                       int64_t num_meta_parameters) {
  Violations violations;
  torch::Tensor meta_parameters;
  if (num_meta_parameters > 0) meta_parameters = torch::zeros({num_meta_parameters});
  const auto loop = methods::MakeInnerLoop(shard, meta_parameters, /*pool=*/nullptr,
                                           kernels::Device{}, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  return loop->Load(state);
}

absl::StatusOr<std::string> CheckSnapshot(const v1::Shard& shard, const v1::Snapshot& snapshot,
                                          int64_t num_meta_parameters,
                                          const std::string& known_form) {
  const uint32_t end = shard.first_iteration() + shard.iterations();
  if (snapshot.cursors_size() != shard.lifetimes_size() || snapshot.iterations() != end) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d lifetimes after %d iterations; %d after %d are expected", snapshot.cursors_size(),
        snapshot.iterations(), shard.lifetimes_size(), end));
  }
  for (const v1::EpisodeCursor& cursor : snapshot.cursors())
    MENTOR_RETURN_IF_ERROR(CheckCursor(shard, end, cursor));
  std::vector<v1::EpisodeCursor> cursors;
  MENTOR_ASSIGN_OR_RETURN(const methods::TensorMap state, ReadSnapshot(snapshot, &cursors));
  for (const auto& [name, tensor] : state) {
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>())
      return absl::InvalidArgumentError(absl::StrFormat("tensor '%s' is not finite", name));
  }
  std::string form = FormOf(snapshot);
  if (form != known_form) MENTOR_RETURN_IF_ERROR(TryToLoad(shard, state, num_meta_parameters));
  return form;
}

absl::StatusOr<std::string> CheckEnd(const v1::Shard& shard, const v1::ShardDone& done,
                                     int64_t num_meta_parameters, const std::string& known_form) {
  const std::string& name = shard.inner_loop().name();
  const methods::InnerLoopEntry* entry = methods::FindInnerLoop(name);
  std::map<std::string, double> of_loop = {done.statistics().begin(), done.statistics().end()};
  of_loop.erase(kFailedStepsMetric);  // The learner's own.
  MENTOR_RETURN_IF_ERROR(CheckDeclared(entry == nullptr ? MetricTable() : entry->metrics, of_loop,
                                       "inner loop '" + name + "'"));
  if (!done.has_outer_gradient() && done.nonfinite_updates() == 0 && methods::GivesGradient(shard))
    return absl::InvalidArgumentError("the outer gradient is missing");
  if (!shard.return_snapshot()) return std::string();
  auto form = CheckSnapshot(shard, done.snapshot(), num_meta_parameters, known_form);
  if (form.ok()) return form;
  return absl::InvalidArgumentError(absl::StrCat("its snapshot: ", form.status().message()));
}

}  // namespace

absl::StatusOr<std::string> CheckShardDone(const v1::Shard& shard, const v1::ShardDone& done,
                                           int64_t num_meta_parameters,
                                           const std::string& known_form) {
  // Exceptions of LibTorch end the sender's stream, not the process.
  try {
    const torch::NoGradGuard no_grad;
    auto form = CheckEnd(shard, done, num_meta_parameters, known_form);
    if (form.ok()) return form;
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: %s", done.shard_id(), form.status().message()));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: %s", done.shard_id(), error.what()));
  }
}

v1::Snapshot MakeSnapshot(uint32_t iterations, const std::vector<v1::EpisodeCursor>& cursors,
                          const methods::TensorMap& state) {
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

absl::StatusOr<methods::TensorMap> ReadSnapshot(const v1::Snapshot& snapshot,
                                                std::vector<v1::EpisodeCursor>* cursors) {
  cursors->assign(snapshot.cursors().begin(), snapshot.cursors().end());
  methods::TensorMap state;
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

}  // namespace mentor::shards
