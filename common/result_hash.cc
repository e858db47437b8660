#include "common/result_hash.h"

#include <cstdint>
#include <cstring>

#include "common/hash.h"

namespace mentor {
namespace {

// Appends 8 little-endian bytes.
void Append(uint64_t number, std::string* bytes) {
  for (int i = 0; i < 8; ++i) bytes->push_back(static_cast<char>(number >> (8 * i)));
}

}  // namespace

std::string ResultHash(const v1::Trajectory& trajectory, const std::string& final_state) {
  Sha256 hash;
  std::string head;  // The bytes before the next data.
  const auto add = [&](const v1::Tensor& tensor) {
    head.clear();
    Append(static_cast<uint64_t>(tensor.dtype()), &head);
    Append(static_cast<uint64_t>(tensor.shape_size()), &head);
    for (int64_t axis : tensor.shape()) Append(static_cast<uint64_t>(axis), &head);
    hash.Update(head);
    hash.Update(tensor.data());
  };
  // An absent tensor has no type and no axes; absent labels are left out.
  for (const v1::Tensor* tensor :
       {&trajectory.observations(), &trajectory.actions(), &trajectory.log_probs(),
        &trajectory.rewards(), &trajectory.successes(), &trajectory.next_observation(),
        &trajectory.terminations(), &trajectory.truncations(), &trajectory.final_observations()}) {
    add(*tensor);
  }
  if (trajectory.has_labels()) add(trajectory.labels());
  head.clear();
  Append(final_state.size(), &head);
  hash.Update(head);
  hash.Update(final_state);
  return hash.Finish();
}

void MakeWrong(v1::Tensor* tensor) {
  std::string* const bytes = tensor->mutable_data();
  for (size_t i = 0; i + sizeof(double) <= bytes->size(); i += sizeof(double)) {
    double number = 0;
    std::memcpy(&number, bytes->data() + i, sizeof(number));
    number += 0.01;
    std::memcpy(bytes->data() + i, &number, sizeof(number));
  }
}

}  // namespace mentor
