// Segments on the wire: of which iterations a shard has some, and what their hash covers.
#include "shards/segment_proto.h"

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/small_shards.h"
#include "tests/text.h"

namespace mentor::shards::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::OutcomesSegment;
using mentor::testing::OutcomesShard;

TEST_CASE("segment: a shard has those of its own iterations alone", "[unit]") {
  // The third and the fourth of five iterations, with four steps each.
  v1::Shard shard = OutcomesShard();
  shard.set_shard_id(7);
  shard.mutable_spec()->mutable_lifetime()->set_iterations(5);
  shard.set_first_iteration(2);
  shard.set_iterations(2);
  const auto read = [&](uint32_t iteration) {
    v1::Segment segment = OutcomesSegment(shard, 1);
    segment.set_iteration(iteration);
    return SegmentFromProto(segment, shard).status();
  };
  CHECK(read(1).message() == "shard 7: segment of iteration 1, it has only 2 to 3");
  CHECK(read(2).ok());
  CHECK(read(3).ok());
  CHECK(absl::IsInvalidArgument(read(4)));
  // Deterministic episodes follow the last iteration. One has four steps, as an iteration does.
  shard.set_first_iteration(3);
  shard.set_deterministic_episodes(1);
  CHECK(read(4).ok());
  CHECK(read(5).ok());
  CHECK(Contains(read(6), "it has only 3 to 5"));
  shard.set_deterministic_episodes(2);
  CHECK(Contains(read(5), "[1, 8]"));
}

TEST_CASE("segment: its hash covers iteration, names, types, shapes, bytes and their order",
          "[unit]") {
  v1::Segment segment;
  segment.set_iteration(1);
  for (const char* name : {"a", "b"}) {
    v1::NamedTensor& named = *segment.add_tensors();
    named.set_name(name);
    *named.mutable_tensor() = ToProto(torch::arange(2, torch::kFloat32));
  }
  const std::vector<std::function<void(v1::Segment*)>> changes = {
      [](auto*) {},
      [](auto* s) { s->set_iteration(2); },
      [](auto* s) { s->mutable_tensors(1)->set_name("c"); },
      [](auto* s) { s->mutable_tensors(1)->mutable_tensor()->set_dtype(v1::Tensor::DTYPE_INT64); },
      [](auto* s) { s->mutable_tensors(1)->mutable_tensor()->add_shape(1); },
      [](auto* s) { s->mutable_tensors(1)->mutable_tensor()->set_shape(0, 3); },
      [](auto* s) { s->mutable_tensors(1)->mutable_tensor()->mutable_data()->back() ^= 1; },
      [](auto* s) { s->mutable_tensors()->SwapElements(0, 1); },
      [](auto* s) { s->mutable_tensors()->RemoveLast(); },
      [](auto* s) { *s->add_tensors() = s->tensors(1); }};
  std::set<std::string> digests;
  for (const auto& change : changes) {
    v1::Segment changed = segment;
    change(&changed);
    digests.insert(DigestOf(changed));
  }
  CHECK(digests.size() == changes.size());
  segment.set_shard_id(9);  // Shards are not of the data.
  segment.set_epoch(9);
  CHECK(digests.contains(DigestOf(segment)));
}

}  // namespace mentor::shards::TEST_FILE
