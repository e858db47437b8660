// The acceptance experiment of ADR (docs/algorithms/curricula.md#experiment): an agent whose skill
// grows where its tasks are a little too hard. Small enough for a few milliseconds a seed.
#include "meta_learner/curricula/adr.h"

#include <cmath>

#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

constexpr uint32_t kRounds = 200, kLifetimes = 16;
constexpr double kGrowth = 0.00065;  // Measures the skill, by a lifetime that is slightly too hard.

struct Outcome {
  double low = 0, high = 0, skill = 0.1;

  bool Accepted() const { return low == 0.2 && high >= 1.8 && std::abs(high - 1 - skill) <= 0.1; }
};

// perform: what ADR hears of a success.
template <typename Perform>
Outcome Train(uint64_t seed, AdrConfig config, const Perform& perform) {
  config.seed = seed;
  config.buffer = 8;
  config.parameters = {
      {.name = "mass", .nominal = 1, .limits = {0.2, 2.5}, .deltas = {0.05, 0.05}}};
  Adr adr(config);
  Outcome outcome;
  for (uint32_t round = 0; round < kRounds; ++round) {
    const RandomStream random{.seed = seed, .lifetime = round};
    std::vector<Achievement> achieved;
    for (uint32_t i = 0; i < kLifetimes; ++i) {
      v1::EnvironmentTask task;
      task.add_wrappers()->set_name("domain_randomization");
      adr.ChangeTask(round, i, &task);
      const v1::WrapperSpec& wrapper = task.wrappers(0);
      REQUIRE(wrapper.option_size() == 2);
      const double low = std::stod(wrapper.option(0).value()),
                   high = std::stod(wrapper.option(1).value());
      // As the wrapper draws.
      const double off = std::abs(low + random.Uniform(i, 0) * (high - low) - 1);
      const double chance = 1 / (1 + std::exp(-(outcome.skill - off) / 0.03));
      achieved.push_back({.success = perform(random.Uniform(i, 1) < chance ? 1.0 : 0.0)});
      if (off > outcome.skill - 0.05 && off < outcome.skill + 0.1) outcome.skill += kGrowth;
    }
    const auto report = adr.Observe(round, achieved);
    REQUIRE(report.ok());
    outcome.low = report->at("range_low/mass");
    outcome.high = report->at("range_high/mass");
  }
  return outcome;
}

TEST_CASE("learning: ADR's range grows with the skill and no further", "[learning]") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Outcome outcome = Train(seed, {}, [](double success) { return success; });
    WARN("seed " << seed << ": range " << outcome.low << " to " << outcome.high << ", skill "
                 << outcome.skill);
    CHECK(outcome.Accepted());
  }
}

TEST_CASE("learning: ADR that widens where it should narrow is noticed", "[learning][nightly]") {
  // 1 - p >= 0.7 is p <= 0.3, and 1 - p <= 0.2 is p >= 0.8: the same thresholds, exchanged.
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Outcome outcome = Train(seed, {.threshold_low = 0.2, .threshold_high = 0.7},
                                  [](double success) { return 1 - success; });
    WARN("seed " << seed << ": range " << outcome.low << " to " << outcome.high);
    CHECK_FALSE(outcome.Accepted());
  }
}

}  // namespace mentor::meta_learner::TEST_FILE
