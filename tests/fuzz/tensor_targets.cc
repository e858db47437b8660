// Targets with LibTorch.
#include "common/check.h"
#include "mentor/v1/shard_service.pb.h"
#include "shards/segment_proto.h"
#include "shards/shard_done.h"
#include "shards/shard_runner.h"
#include "shards/tensor_proto.h"
#include "tests/fuzz/targets.h"

namespace mentor::fuzz {
namespace {

const Register kTensor("tensor", [](std::string_view bytes) {
  v1::Tensor tensor;
  if (!Parse(bytes, &tensor)) return false;
  const auto read = shards::FromProto(tensor, "tensor");
  if (read.ok()) MENTOR_CHECK(shards::ToProto(*read).data() == tensor.data());
  return read.ok();
});

const Register kSegment("segment", [](std::string_view bytes) {
  v1::Segment segment;
  if (!Parse(bytes, &segment)) return false;
  v1::Shard shard;
  shard.mutable_spec()->mutable_lifetime()->set_iterations(2);
  shard.mutable_spec()->mutable_lifetime()->set_steps_per_iteration(4);
  shard.add_lifetimes();
  shard.set_iterations(2);
  shard.set_collections(1);
  shard.set_outcomes_only(true);
  return shards::SegmentFromProto(segment, shard).ok();
});

const Register kSnapshot("snapshot", [](std::string_view bytes) {
  v1::Snapshot snapshot;
  std::vector<v1::EpisodeCursor> cursors;
  return Parse(bytes, &snapshot) && shards::ReadSnapshot(snapshot, &cursors).ok();
});

const Register kShard("shard", [](std::string_view bytes) {
  v1::Shard shard;
  return Parse(bytes, &shard) && shards::CheckShard(shard).ok();
});

}  // namespace
}  // namespace mentor::fuzz
