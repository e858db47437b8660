#include "mentor/ctl/sweep.h"

#include <algorithm>
#include <set>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

constexpr size_t kIdMax = 63;
constexpr size_t kDigestLetters = 10;

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

absl::Status BadFlag(std::string_view flag, std::string_view value, std::string_view remedy) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s '%s': %s", View(flag), View(value), View(remedy)));
}

// Returns the text with characters that are legal in an id: "0.99" becomes "0p99".
std::string Slug(std::string_view text) {
  std::string slug;
  for (const char c : text) {
    const char lower = absl::ascii_tolower(c);
    if (absl::ascii_isalnum(lower)) {
      slug += lower;
    } else if (c == '.') {
      slug += 'p';
    } else if (!slug.empty() && slug.back() != '-') {
      slug += '-';
    }
  }
  while (slug.ends_with('-')) slug.pop_back();
  return slug;
}

std::string NameSlug(const std::string& name) {
  std::string slug = Slug(name);
  if (slug.empty() || !absl::ascii_isalpha(slug[0])) slug = "sweep-" + slug;
  while (slug.ends_with('-')) slug.pop_back();
  return slug;
}

std::string DigestedId(const std::string& name, const SweepPoint& point) {
  const std::string digest =
      Sha256Hex(absl::StrJoin(point.Overrides(), "\n")).substr(0, kDigestLetters);
  std::string begin = NameSlug(name).substr(0, kIdMax - kDigestLetters - 1);
  while (begin.ends_with('-')) begin.pop_back();
  return begin + "-" + digest;
}

}  // namespace

absl::StatusOr<GridAxis> ParseGridAxis(std::string_view text) {
  constexpr std::string_view kRemedy =
      "give PATH=VALUE,VALUE,..., for instance rule.learning_rate=1e-4,3e-4";
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size()) {
    return BadFlag("--grid", text, kRemedy);
  }
  GridAxis axis = {.path = std::string(text.substr(0, equals)), .values = {}};
  if (axis.path == "seed") return BadFlag("--grid", text, "give seeds with --seeds");
  const std::string_view values = text.substr(equals + 1);
  const char separator = values.find(';') == values.npos ? ',' : ';';
  std::set<std::string> seen;
  for (const absl::string_view part : absl::StrSplit(View(values), separator)) {
    const std::string value(absl::StripAsciiWhitespace(part));
    if (value.empty())
      return BadFlag("--grid", text, "has an empty value; give one, or leave it out");
    if (!seen.insert(value).second) {
      return BadFlag("--grid", text, "has '" + value + "' twice; leave one out");
    }
    axis.values.push_back(value);
  }
  return axis;
}

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view text) {
  constexpr std::string_view kRemedy = "give seeds such as 1-5 or 1,2,7";
  std::set<uint64_t> seeds;
  for (const absl::string_view part : absl::StrSplit(View(text), ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    uint64_t first = 0, last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends[0], &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || last < first) {
      return BadFlag("--seeds", text, kRemedy);
    }
    if (last - first >= kSweepMax) {
      return BadFlag("--seeds", text,
                     absl::StrFormat("a sweep has at most %d experiments", kSweepMax));
    }
    for (uint64_t seed = first;; ++seed) {
      seeds.insert(seed);
      if (seed == last) break;
    }
  }
  return std::vector<uint64_t>(seeds.begin(), seeds.end());
}

std::vector<std::string> SweepPoint::Overrides() const {
  std::vector<std::string> overrides;
  for (const auto& [path, value] : settings) overrides.push_back(path + "=" + value);
  if (has_seed) overrides.push_back(absl::StrCat("seed=", seed));
  return overrides;
}

absl::StatusOr<std::vector<SweepPoint>> PlanSweep(const std::string& name,
                                                  std::vector<GridAxis> axes,
                                                  const std::vector<uint64_t>& seeds) {
  // Sort, so that the same settings have the same name in any order of the flags.
  std::sort(axes.begin(), axes.end(),
            [](const GridAxis& a, const GridAxis& b) { return a.path < b.path; });
  size_t count = std::max<size_t>(seeds.size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    if (i > 0 && axes[i].path == axes[i - 1].path) {
      return BadFlag("--grid", axes[i].path, "is given twice; put all values into one");
    }
    count *= axes[i].values.size();
    if (count > kSweepMax) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--grid: the combinations are more than %d experiments; leave values or seeds out, or "
          "make several sweeps",
          kSweepMax));
    }
  }
  if (axes.empty() && seeds.empty()) {
    return absl::InvalidArgumentError(
        "--grid: is missing, and so is --seeds; give what the experiments differ in, for instance "
        "--grid rule.learning_rate=1e-4,3e-4 --seeds 1-5");
  }
  std::vector<SweepPoint> points(1);
  for (const GridAxis& axis : axes) {
    std::vector<SweepPoint> more;
    for (const SweepPoint& point : points) {
      for (const std::string& value : axis.values) {
        more.push_back(point);
        more.back().settings.emplace_back(axis.path, value);
      }
    }
    points = std::move(more);
  }
  if (!seeds.empty()) {
    std::vector<SweepPoint> more;
    for (const SweepPoint& point : points) {
      for (const uint64_t seed : seeds) {
        more.push_back(point);
        more.back().seed = seed;
        more.back().has_seed = true;
      }
    }
    points = std::move(more);
  }
  std::map<std::string, int> uses;
  for (SweepPoint& point : points) {
    point.id = NameSlug(name);
    for (const auto& [path, value] : point.settings) {
      const std::string slug = Slug(value);
      if (!slug.empty()) absl::StrAppend(&point.id, "-", slug);
    }
    if (point.has_seed) absl::StrAppend(&point.id, "-s", point.seed);
    ++uses[point.id];
  }
  for (SweepPoint& point : points) {
    if (uses[point.id] > 1 || !IsExperimentId(point.id)) point.id = DigestedId(name, point);
  }
  return points;
}

std::vector<std::string> DifferingPaths(
    const std::vector<std::map<std::string, std::string>>& specs) {
  std::set<std::string> paths, differing;
  for (const auto& spec : specs) {
    for (const auto& [path, value] : spec) paths.insert(path);
  }
  for (const std::string& path : paths) {
    if (path == "seed" || path == "benchmark.goal_seed" || path == "display_name" ||
        path.starts_with("checkpoint."))
      continue;
    const auto value = [&](const std::map<std::string, std::string>& spec) {
      const auto found = spec.find(path);
      return found == spec.end() ? nullptr : &found->second;
    };
    const std::string* first = value(specs[0]);
    for (const auto& spec : specs) {
      const std::string* other = value(spec);
      const bool equal = (first == nullptr) == (other == nullptr) && (!first || *first == *other);
      if (!equal) differing.insert(path);
    }
  }
  return {differing.begin(), differing.end()};
}

}  // namespace mentor::ctl
