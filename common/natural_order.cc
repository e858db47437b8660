#include <algorithm>

#include <absl/strings/ascii.h>

#include "common/edit_distance.h"

namespace mentor {
namespace {

// Removes leading digits from `text`, and returns them without leading zeros.
std::string_view TakeNumber(std::string_view* text) {
  const auto end =
      std::find_if_not(text->begin(), text->end(), [](char c) { return absl::ascii_isdigit(c); });
  std::string_view digits = text->substr(0, end - text->begin());
  text->remove_prefix(digits.size());
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  return digits;
}

}  // namespace

bool NaturalLess(std::string_view a, std::string_view b) {
  std::string_view left = a, right = b;
  while (!left.empty() && !right.empty()) {
    if (absl::ascii_isdigit(left[0]) && absl::ascii_isdigit(right[0])) {
      const std::string_view one = TakeNumber(&left), other = TakeNumber(&right);
      if (one.size() != other.size()) return one.size() < other.size();
      if (one != other) return one < other;
    } else {
      if (left[0] != right[0]) return left[0] < right[0];
      left.remove_prefix(1);
      right.remove_prefix(1);
    }
  }
  if (left.empty() != right.empty()) return left.empty();
  return a < b;
}

}  // namespace mentor
