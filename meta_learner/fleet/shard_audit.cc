#include "meta_learner/fleet/shard_audit.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/hash.h"

namespace mentor::meta_learner {

bool IsAudited(const v1::Shard& shard, uint32_t every) {
  if (every == 0) return false;
  uint64_t mixed = 0;
  for (const uint64_t word :
       {uint64_t{shard.spec().seed()}, uint64_t{shard.phase()},
        static_cast<uint64_t>(shard.reward_source()), uint64_t{shard.first_iteration()},
        shard.lifetimes().empty() ? uint64_t{0} : uint64_t{shard.lifetimes(0).number()}}) {
    mixed = (mixed ^ word) * 0x9e3779b97f4a7c15;  // Fibonacci hashing.
    mixed ^= mixed >> 29;
  }
  return mixed % every == 0;
}

std::string HashOfAnswer(const v1::ShardDone& done) {
  v1::ShardDone answer = done;
  answer.clear_shard_id();
  answer.clear_epoch();
  answer.clear_seconds();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // Hashes are compared only within this process.
    answer.SerializeToCodedStream(&coded);
  }
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

}  // namespace mentor::meta_learner
