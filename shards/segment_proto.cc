#include "shards/segment_proto.h"

#include <algorithm>
#include <map>
#include <string>

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/history.h"
#include "methods/base/inner_loop.h"
#include "shards/tensor_proto.h"

namespace mentor::shards {
namespace {

bool IsSent(const agents::SegmentField& field, bool outcomes_only) {
  return field.sent == agents::SegmentField::Sent::kAlways ||
         (field.sent == agents::SegmentField::Sent::kTraining && !outcomes_only);
}

}  // namespace

void AddTensors(const agents::Segment& segment, bool outcomes_only, v1::Segment* proto) {
  for (const agents::SegmentField& field : agents::SegmentFields()) {
    const torch::Tensor& tensor = segment.*field.member;
    if (!tensor.defined() || !IsSent(field, outcomes_only)) continue;
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

std::string DigestOf(const v1::Segment& segment) {
  Sha256 hash;
  HashSegment(segment, &hash);
  return history::Digest(hash.Finish());
}

absl::StatusOr<agents::Segment> SegmentFromProto(const v1::Segment& proto, const v1::Shard& shard) {
  const uint32_t end = shard.first_iteration() + agents::IterationsOf(shard);
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
  agents::Segment segment;
  agents::SegmentSizes sizes = agents::SizesOf(shard, proto.iteration());
  const methods::InnerLoopEntry* loop = methods::FindInnerLoop(shard.inner_loop().name());
  const bool all_final_observations = loop != nullptr && loop->all_final_observations;
  sizes.truncations = sizes.steps / std::max<int64_t>(1, shard.shape().episode_steps());
  for (const agents::SegmentField& field : agents::SegmentFields()) {
    if (!IsSent(field, shard.outcomes_only())) continue;
    if (field.with_truncations && !all_final_observations) continue;
    const std::string what = absl::StrFormat("shard %d, iteration %d: %s", shard.shard_id(),
                                             proto.iteration(), field.name);
    const auto found = tensors.find(field.name);
    if (found == tensors.end() && field.source != agents::SegmentField::Source::kActor) continue;
    if (found == tensors.end()) return absl::InvalidArgumentError(what + " is missing");
    MENTOR_ASSIGN_OR_RETURN(segment.*field.member, FromProto(*found->second, what, field.dtype,
                                                             agents::ShapeOf(field, sizes)));
  }
  return segment;
}

}  // namespace mentor::shards
