#include "common/metric_info.h"

#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

const MetricTable kTable = {{.name = "kl", .unit = "nat", .help = "One.", .label = "divergence"},
                            {.name = "seg*", .help = "Two."},
                            {.name = "seg9", .help = "Three."},
                            {.name = "mean/*", .help = "Four."}};

TEST_CASE("metrics: found by whole names first, then by families", "[unit]") {
  const auto help = [](std::string_view name) {
    const MetricInfo* found = FindMetric(kTable, name);
    return found == nullptr ? "" : found->help;
  };
  CHECK(help("kl") == "One.");
  CHECK(help("seg12") == "Two.");
  CHECK(help("seg9") == "Three.");
  CHECK(help("mean/push") == "Four.");
  CHECK(help("seg").empty());  // The star stands for something.
  CHECK(help("mean").empty());
  CHECK(help("kl2").empty());
}

TEST_CASE("metrics: what is not declared is refused with what to add", "[unit]") {
  CHECK(CheckDeclared(kTable, {{"kl", 1}, {"mean/push", 2}}, "outer rule 'x'").ok());
  const absl::Status status = CheckDeclared(kTable, {{"kl", 1}, {"k2", 2}}, "outer rule 'x'");
  CHECK(status.code() == absl::StatusCode::kInternal);
  CHECK(testing::Contains(std::string(status.message()),
                          "outer rule 'x' reports 'k2', which it does not declare; add it to "
                          ".metrics of its registration"));
}

}  // namespace mentor::TEST_FILE
