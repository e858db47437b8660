// Segments on the wire: tensors by the table of learner/agents/segment.h, and their check on
// arrival. Pure.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "common/hash.h"
#include "learner/agents/segment.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::learner {

// Adds the tensors of a segment. outcomes_only: what an evaluation needs, without observations and
// actions.
void AddTensors(const Segment& segment, bool outcomes_only, v1::Segment* proto);

// The segment of iteration `proto.iteration()` of `shard`, every shape checked and every element
// finite. Tensors that the shard did not ask for, and those that its inner loop does not have, stay
// undefined; another that is missing is INVALID_ARGUMENT.
absl::StatusOr<Segment> SegmentFromProto(const v1::Segment& proto, const v1::Shard& shard);

// Adds a segment to the hash of a shard's segments: iteration, then name, dtype, shape and bytes of
// each tensor.
void HashSegment(const v1::Segment& segment, Sha256* hash);
// Of this one alone, as histories have it.
std::string DigestOf(const v1::Segment& segment);

}  // namespace mentor::learner
