// Segments on the wire: tensors by the table of agents/segment.h, and their check on
// arrival. Pure.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "agents/segment.h"
#include "common/hash.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::shards {

// Adds the tensors of a segment. outcomes_only leaves out observations and actions, which an
// evaluation does not need.
void AddTensors(const agents::Segment& segment, bool outcomes_only, v1::Segment* proto);

// The segment of iteration `proto.iteration()` of `shard`, with every shape checked and every
// element finite. Tensors that the shard did not ask for, or that its inner loop lacks, stay
// undefined. INVALID_ARGUMENT names any other missing tensor.
absl::StatusOr<agents::Segment> SegmentFromProto(const v1::Segment& proto, const v1::Shard& shard);

// Adds a segment to the hash of a shard's segments: iteration, then name, dtype, shape and bytes of
// each tensor.
void HashSegment(const v1::Segment& segment, Sha256* hash);
// The hash of this segment alone, for histories.
std::string DigestOf(const v1::Segment& segment);

}  // namespace mentor::shards
