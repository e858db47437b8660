#include "cli/local/run_metrics.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "meta_learner/store/store.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::ReadText;
using mentor::testing::TempFolder;

// First column of each row below the header.
std::vector<std::string> Steps(const std::filesystem::path& csv) {
  std::vector<std::string> steps = absl::StrSplit(ReadText(csv), '\n', absl::SkipEmpty());
  for (std::string& line : steps) line.resize(line.find(','));
  if (!steps.empty()) steps.erase(steps.begin());
  return steps;
}

TEST_CASE("run metrics: outer updates that end while the file is written are in it once",
          "[local]") {
  const TempFolder folder;
  const std::filesystem::path csv = folder.path() / "metrics.csv";
  // Another outer update ends after each look; some bring a new column.
  uint32_t done = 0;
  const auto points = [&](uint32_t step_min, uint32_t step_max) {
    std::map<std::string, meta_learner::Series> series;
    for (uint32_t step = std::max(step_min, 1u); step <= std::min(done, step_max); ++step)
      series[absl::StrCat("column", step / 4)].emplace_back(step, 1.0);
    ++done;
    return series;
  };
  const auto metrics = RunMetrics::Open({.points = points, .iterations = 3, .csv = csv}).value();
  std::vector<std::string> expected;
  for (int look = 0; look < 20; ++look) {
    const uint32_t before = done;
    REQUIRE(metrics->Update().ok());
    while (expected.size() < before) expected.push_back(absl::StrCat(expected.size() + 1));
    CHECK(Steps(csv) == expected);
  }
  CHECK(done > 20);
}

}  // namespace mentor::TEST_FILE
