#include "common/edit_distance.h"

#include <algorithm>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace mentor {
namespace {

constexpr size_t kWordBytesMax = 60;  // No name is near a longer word.
constexpr size_t kNearestMax = 3;
constexpr size_t kKnownMax = 40;  // Keeps the list readable.

std::string Folded(std::string_view name) {
  std::string folded(name);
  for (char& c : folded) c = c == '-' ? '_' : absl::ascii_tolower(c);
  return folded;
}

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = above;
    std::swap(above, row);
  }
  return above[b.size()];
}

std::vector<std::string> NearestNames(std::string_view wrong,
                                      const std::vector<std::string>& names) {
  if (wrong.empty() || wrong.size() > kWordBytesMax) return {};
  const std::string typed = Folded(wrong);
  // Two changes turn a short word into any other.
  const size_t far = wrong.size() < 4 ? 1 : std::max<size_t>(2, wrong.size() / 4);
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& name : names) {
    const std::string known = Folded(name);
    const size_t distance = EditDistance(typed, known);
    const bool begun = typed.size() > 1 && known.starts_with(typed);
    if (distance <= far || begun) near.emplace_back(distance, name);
  }
  std::sort(near.begin(), near.end());
  near.erase(std::unique(near.begin(), near.end()), near.end());
  std::vector<std::string> nearest;
  for (const auto& [distance, name] : near) {
    if (nearest.size() < kNearestMax && distance <= near[0].first + 1) nearest.push_back(name);
  }
  return nearest;
}

std::string NameHint(std::string_view wrong, const std::vector<std::string>& names) {
  const std::vector<std::string> nearest = NearestNames(wrong, names);
  if (!nearest.empty()) return "did you mean '" + absl::StrJoin(nearest, "' or '") + "'?";
  if (names.size() <= kKnownMax) return "known: " + absl::StrJoin(names, ", ");
  return absl::StrCat("known: ", absl::StrJoin(names.begin(), names.begin() + kKnownMax, ", "),
                      " and ", names.size() - kKnownMax, " more");
}

}  // namespace mentor
