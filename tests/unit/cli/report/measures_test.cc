#include "cli/report/measures.h"

#include <cmath>

#include "cli/report/report.h"
#include "tests/testing.h"

namespace mentor::report {
namespace {

using mentor::testing::Near;

TEST_CASE(
    "measures: a signal is compared with the shaped reward and with its change inside episodes",
    "[unit]") {
  SignalSample sample;
  sample.shaped = {0, 1, 3, 0, 2, 3};  // Two episodes of three steps; changes 1, 2 and 2, 1.
  sample.signal = {7, 1, 2, 9, 2, 1};
  sample.episode_steps = 3;
  const Correlation pooled = Correlate({sample, sample});
  CHECK(Near(pooled.change_pearson, 1, {.abs = 1e-15}));
  CHECK(Near(pooled.change_spearman, 1, {.abs = 1e-15}));
  CHECK(pooled.pearson < 0);
  sample.episode_steps = 0;
  CHECK(std::isnan(Correlate({sample}).change_pearson));
}

TEST_CASE("measures: CPU seconds are those of all phases, the policy's in the rollout's",
          "[unit]") {
  TrainingPoint point;
  point.metrics = {{"rollout_seconds", 2},  {"policy_seconds", 0.5}, {"signal_seconds", 0.25},
                   {"update_seconds", 1.5}, {"outer_seconds", 0.75}, {"wall_seconds", 9}};
  CHECK(CpuSeconds({point, point}) == 9);
  CHECK(std::isnan(CpuSeconds({TrainingPoint()})));
}

}  // namespace
}  // namespace mentor::report
