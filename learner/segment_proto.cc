#include "learner/segment_proto.h"

#include <array>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "learner/tensor_proto.h"

namespace mentor::learner {
namespace {

struct Field {
  const char* name;
  torch::Tensor Segment::*member;
  enum class Shape { kSteps, kObservations, kActions, kAgents, kAgentObservations } shape;
  bool outcome;   // Sent for evaluations too.
  bool optional;  // Not every inner loop has it.
  bool float64 = false;
};

constexpr std::array<Field, 12> kFields = {{
    {"observations", &Segment::observations, Field::Shape::kObservations, false, false},
    {"actions", &Segment::actions, Field::Shape::kActions, false, false},
    {"log_probs", &Segment::log_probs, Field::Shape::kSteps, false, false},
    {"shaped_rewards", &Segment::shaped_rewards, Field::Shape::kSteps, true, false,
     /*float64=*/true},
    {"success_signals", &Segment::success_signals, Field::Shape::kSteps, true, false},
    {"successes", &Segment::successes, Field::Shape::kSteps, true, false},
    {"prev_done", &Segment::prev_done, Field::Shape::kSteps, true, false},
    {"last_done", &Segment::last_done, Field::Shape::kAgents, true, false},
    {"next_observations", &Segment::next_observations, Field::Shape::kAgentObservations, false,
     false},
    {"signals", &Segment::signals, Field::Shape::kSteps, true, true},
    {"signal_log_probs", &Segment::signal_log_probs, Field::Shape::kSteps, false, true},
    {"signal_values", &Segment::signal_values, Field::Shape::kSteps, false, true},
}};

std::vector<int64_t> ShapeOf(const Field& field, const v1::Shard& shard, uint32_t iteration) {
  const int64_t agents = shard.lifetimes_size(), steps = StepsOfIteration(shard, iteration);
  const int64_t observation = shard.shape().observation_size(),
                action = shard.shape().action_size();
  switch (field.shape) {
    case Field::Shape::kSteps:
      return {agents, steps};
    case Field::Shape::kObservations:
      return {agents, steps, observation};
    case Field::Shape::kActions:
      return {agents, steps, action};
    case Field::Shape::kAgents:
      return {agents};
    case Field::Shape::kAgentObservations:
      return {agents, observation};
  }
  return {};
}

}  // namespace

int64_t StepsOfIteration(const v1::Shard& shard, uint32_t iteration) {
  if (iteration < shard.spec().lifetime().iterations())
    return int64_t{shard.collections()} * shard.spec().lifetime().steps_per_iteration();
  return int64_t{shard.deterministic_episodes()} * shard.shape().episode_steps();
}

uint32_t IterationsOf(const v1::Shard& shard) {
  return shard.iterations() + (shard.deterministic_episodes() > 0 ? 1 : 0);
}

void AddTensors(const Segment& segment, bool outcomes_only, v1::Segment* proto) {
  for (const Field& field : kFields) {
    const torch::Tensor& tensor = segment.*field.member;
    if (!tensor.defined() || (outcomes_only && !field.outcome)) continue;
    v1::NamedTensor* named = proto->add_tensors();
    named->set_name(field.name);
    *named->mutable_tensor() = ToProto(tensor);
  }
}

void HashSegment(const v1::Segment& segment, Sha256* hash) {
  hash->Update(absl::StrFormat("iteration %d\n", segment.iteration()));
  for (const v1::NamedTensor& named : segment.tensors()) {
    const v1::Tensor& tensor = named.tensor();
    hash->Update(absl::StrFormat("%s %d [%s] %d\n", named.name(), tensor.dtype(),
                                 absl::StrJoin(tensor.shape(), ","), tensor.data().size()));
    hash->Update(tensor.data());
  }
}

absl::StatusOr<Segment> SegmentFromProto(const v1::Segment& proto, const v1::Shard& shard) {
  const uint32_t end = shard.first_iteration() + IterationsOf(shard);
  if (proto.iteration() < shard.first_iteration() || proto.iteration() >= end) {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d: segment of iteration %d, it has only %d to %d", shard.shard_id(),
                        proto.iteration(), shard.first_iteration(), end - 1));
  }
  std::map<std::string, const v1::Tensor*> tensors;
  for (const v1::NamedTensor& named : proto.tensors()) {
    if (!tensors.emplace(named.name(), &named.tensor()).second) {
      return absl::InvalidArgumentError(absl::StrFormat("shard %d: segment has tensor '%s' twice",
                                                        shard.shard_id(), named.name()));
    }
  }
  Segment segment;
  for (const Field& field : kFields) {
    if (shard.outcomes_only() && !field.outcome) continue;
    const std::string what = absl::StrFormat("shard %d, iteration %d: %s", shard.shard_id(),
                                             proto.iteration(), field.name);
    const auto found = tensors.find(field.name);
    if (found == tensors.end() && field.optional) continue;
    if (found == tensors.end()) return absl::InvalidArgumentError(what + " is missing");
    MENTOR_ASSIGN_OR_RETURN(
        segment.*field.member,
        FromProto(*found->second, what, field.float64 ? torch::kFloat64 : torch::kFloat32,
                  ShapeOf(field, shard, proto.iteration())));
  }
  return segment;
}

}  // namespace mentor::learner
