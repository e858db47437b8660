#include "common/wrong_numbers.h"

#include <cstring>
#include <string>

namespace mentor {

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
