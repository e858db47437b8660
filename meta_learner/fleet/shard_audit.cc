#include "meta_learner/fleet/shard_audit.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/hash.h"

namespace mentor::meta_learner {

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
