#include "common/result_hash.h"

#include <cstdint>

#include "common/hash.h"

namespace mentor {
namespace {

void Add(uint64_t number, Sha256* hash) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(number >> (8 * i));
  hash->Update({bytes, sizeof(bytes)});
}

}  // namespace

std::string ResultHash(const v1::Trajectory& trajectory, const std::string& final_state) {
  Sha256 hash;
  // An absent tensor has no type and no axes.
  for (const v1::Tensor* tensor :
       {&trajectory.observations(), &trajectory.actions(), &trajectory.log_probs(),
        &trajectory.rewards(), &trajectory.successes(), &trajectory.next_observation(),
        &trajectory.terminations(), &trajectory.truncations(), &trajectory.final_observations()}) {
    Add(static_cast<uint64_t>(tensor->dtype()), &hash);
    Add(static_cast<uint64_t>(tensor->shape_size()), &hash);
    for (int64_t axis : tensor->shape()) Add(static_cast<uint64_t>(axis), &hash);
    hash.Update(tensor->data());
  }
  Add(final_state.size(), &hash);
  hash.Update(final_state);
  return hash.Finish();
}

}  // namespace mentor
