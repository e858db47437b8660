#include "cli/report/words.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace mentor::report {

std::string PartName(int segment, size_t segments) {
  if (segments == 1) return "whole lifetime";
  return segment == 0 ? "before learning" : "after " + Several(segment, "update");
}

std::string GoalsOf(const std::string& split, bool has_goals) {
  if (!has_goals && (split == "test" || split == "train"))
    return "new agents in the same environment";
  return split == "test" ? "unseen goals" : split == "train" ? "training goals" : split;
}

std::string Several(uint64_t count, const std::string& noun) {
  return absl::StrFormat("%s %s%s", Grouped(count), noun, count == 1 ? "" : "s");
}

std::string Grouped(uint64_t number) {
  const std::string digits = absl::StrCat(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

std::string FormatInterval(const Interval& interval) {
  const auto rounded = [](double value) {
    const std::string text = absl::StrFormat("%.2f", value);
    return text == "-0.00" ? "0.00" : text;
  };
  return absl::StrFormat("%s [%s, %s]", rounded(interval.mean), rounded(interval.low),
                         rounded(interval.high));
}

}  // namespace mentor::report
