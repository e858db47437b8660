// Population based training: the toy problem of the paper, what the rule keeps and says, and what
// is refused.
#include "methods/pbt/rule.h"

#include <algorithm>

#include "common/rng.h"
#include "methods/base/outer_rule.h"
#include "tests/fake_fleet.h"
#include "tests/quadratic_population.h"
#include "tests/specs.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::FakeFleet;

using mentor::testing::QuadraticPopulation;
using torch::Tensor;

// The best Q after 200 steps with a selection after every fifth.
double Climb(QuadraticPopulation population, uint64_t seed) {
  const RandomStream chance{.seed = seed, .purpose = Purpose::kPopulation};
  for (uint32_t step = 1; step <= 200; ++step) {
    population.Step();
    if (step % 5 == 0) population.Select(chance.Uniform(step, 0), chance.Uniform(step, 1));
  }
  return population.Q().max().item<double>();
}

constexpr double kThreshold = 1.10;

TEST_CASE("population: two members climb the quadratic that neither climbs alone") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    INFO(seed);
    CHECK(Climb({}, seed) >= kThreshold);
  }
}

TEST_CASE("population: without copies, without exploration or with factors the quadratic stays") {
  QuadraticPopulation alone, same, factors;
  alone.exploit = false;
  same.explore = false;
  factors.how = Explore::kPerturb;  // 0 stays 0.
  for (const QuadraticPopulation& broken : {alone, same, factors}) {
    const double reached = Climb(broken, 0);
    CHECK(reached < kThreshold);
    CHECK(std::abs(reached - 0.390) < 0.001);
  }
}

TEST_CASE("population: hyperparameters stay in their ranges, on either scale") {
  for (const bool log_scale : {false, true}) {
    const Hyperparameter x{.name = "x", .log_scale = log_scale, .low = 0.01, .high = 1};
    CHECK(x.At(0) == Approx(0.01));
    CHECK(x.At(1) == Approx(1));
    CHECK(x.At(0.5) == Approx(log_scale ? 0.1 : 0.505));
    CHECK(x.PlaceOf(x.At(0.3)) == Approx(0.3));
    for (const Explore how : {Explore::kPerturb, Explore::kAdd}) {
      const PopulationConfig config{
          .hyperparameters = {x}, .fraction = 0.5, .resample = 0, .explore = how};
      for (const double which : {1e-9, 0.5, 1 - 1e-9}) {
        for (const double value : {0.01, 0.5, 1.0}) {
          const auto selection =
              SelectAndExplore(config, torch::tensor({0.0, 1.0}, torch::kFloat64),
                               torch::full({2, 1}, value, torch::kFloat64),
                               torch::tensor({0.5, 0.5, which}, torch::kFloat64).repeat({2, 1}));
          CHECK(selection.parents == std::vector<uint32_t>{1, 1});
          const double now = selection.hyperparameters[0][0].item<double>();
          CHECK(now >= 0.01);
          CHECK(now <= 1);
          CHECK(selection.hyperparameters[1][0].item<double>() == value);
        }
      }
    }
  }
}

v1::ExperimentSpec Spec(uint32_t members, const mentor::testing::Settings& options = {}) {
  v1::ExperimentSpec spec;
  spec.mutable_rule()->set_name("pbt");
  spec.mutable_rule()->set_lifetimes_per_update(members);
  spec.mutable_rule()->set_outer_updates(10);
  mentor::testing::SetOptions(spec.mutable_rule(), options);
  return spec;
}

std::unique_ptr<OuterRule> Make(const v1::ExperimentSpec& spec) {
  Violations violations;
  auto rule = MakeOuterRule(
      {.spec = spec, .shape = mentor::testing::Shape({.observation = 3, .action = 2})},
      &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

// Member i's reward is rewards[i] at every step.
LifetimeBatch Batch(const std::vector<double>& rewards,
                    const std::vector<std::string>& environments) {
  LifetimeBatch batch;
  batch.environments = environments;
  batch.steps_per_iteration = 4;
  batch.steps.shaped_rewards =
      torch::tensor(rewards, torch::kFloat64).unsqueeze(1).repeat({1, 4}).contiguous();
  return batch;
}

TEST_CASE("population: the worst of an environment go on as its best, and the table says so") {
  const auto rule = Make(Spec(6));
  const Tensor before = rule->meta_parameters().view({6, 2}).clone();
  FakeFleet fleet(Batch({5, 1, 100, 3, 300, 200}, {"a", "a", "b", "a", "b", "b"}));
  const auto report = rule->Run(&fleet, /*outer_step=*/0);
  INFO(report.status());
  REQUIRE(report.ok());
  CHECK(report->at("copies") == 2);
  CHECK(report->at("score_best") == 300);
  CHECK(report->at("score_worst") == 1);
  CHECK(fleet.parents == std::vector<uint32_t>{0, 0, 4, 3, 4, 5});
  const Tensor after = rule->meta_parameters().view({6, 2});
  for (int64_t i = 0; i < 6; ++i) {
    INFO(i);
    CHECK(torch::equal(before[i], after[i]) == (i != 1 && i != 2));
  }
  const std::string table = rule->Tables().at("lineage.csv");
  CHECK(table.starts_with("update,member,parent,learning_rate,entropy\n0,0,,"));
  CHECK(table.find("\n1,1,0,") != std::string::npos);
  CHECK(table.find("\n1,2,4,") != std::string::npos);
  CHECK(std::count(table.begin(), table.end(), '\n') == 1 + 6 + 2);
}

TEST_CASE("population: selections are ready updates apart, never behind the last iteration") {
  v1::ExperimentSpec spec = Spec(2, {{"ready", "2"}});
  spec.mutable_lifetime()->set_iterations(4);
  const auto rule = Make(spec);
  for (uint32_t step = 0; step < 8; ++step) {
    INFO(step);
    FakeFleet fleet(Batch({1, 2}, {"a", "a"}));
    REQUIRE(rule->Run(&fleet, step).ok());
    CHECK(fleet.parents.has_value() == (step == 1 || step == 5));
  }
}

TEST_CASE("population: who copies goes on with the scores of who is copied") {
  v1::ExperimentSpec spec = Spec(4, {{"window", "3"}});
  spec.mutable_lifetime()->set_iterations(10);
  const auto rule = Make(spec);
  std::vector<uint32_t> parents;
  const auto update = [&](uint32_t step, const std::vector<double>& rewards) {
    FakeFleet fleet(Batch(rewards, {"a", "a", "a", "a"}));
    const auto report = rule->Run(&fleet, step);
    INFO(report.status());
    REQUIRE(report.ok());
    REQUIRE(fleet.parents.has_value());
    parents = *fleet.parents;
    return *report;
  };
  using Parents = std::vector<uint32_t>;
  update(0, {1, 2, 3, 4});
  CHECK(parents == Parents{3, 1, 2, 3});
  // Scores so far, the newest last: [4], [2], [3], [4]. With its own 1, member 0 would be the
  // worst.
  RuleReport report = update(1, {1, 10, 0, 2});
  CHECK(report.at("score_best") == 6);
  CHECK(report.at("score_worst") == 1.5);
  CHECK(report.at("score_median") == 2.75);
  CHECK(parents == Parents{0, 1, 1, 3});
  // [4, 1], [2, 10], [2, 10], [4, 2]. With its own [3, 0], member 2 would be the worst.
  report = update(2, {0, 0, 0, 9});
  CHECK(report.at("score_best") == 5);
  CHECK(report.at("score_worst") == Approx(5.0 / 3));
  CHECK(report.at("score_median") == 4);
  CHECK(parents == Parents{3, 1, 2, 3});
  // [4, 2, 9], [2, 10, 0], [2, 10, 0], [4, 2, 9], of which the first goes.
  report = update(3, {0, 6, 0, 0});
  CHECK(report.at("score_best") == Approx(16.0 / 3));
  CHECK(report.at("score_worst") == Approx(10.0 / 3));
  CHECK(parents == Parents{0, 1, 1, 3});
  const std::string table = rule->Tables().at("lineage.csv");
  for (const char* row : {"\n1,0,3,", "\n2,2,1,", "\n3,0,3,", "\n4,2,1,"}) {
    INFO(row);
    CHECK(table.find(row) != std::string::npos);
  }
}

TEST_CASE("population: new agents have no scores of those before them") {
  v1::ExperimentSpec spec = Spec(2, {{"window", "5"}});
  spec.mutable_lifetime()->set_iterations(2);
  const auto rule = Make(spec);
  const auto update = [&](uint32_t step, const std::vector<double>& rewards) {
    FakeFleet fleet(Batch(rewards, {"a", "a"}));
    REQUIRE(rule->Run(&fleet, step).ok());
    return fleet.parents;
  };
  CHECK(update(0, {1, 9}) == std::vector<uint32_t>{1, 1});
  CHECK_FALSE(update(1, {0, 100}).has_value());  // The last iteration: no agent lives on.
  CHECK(update(2, {2, 1}) == std::vector<uint32_t>{0, 0});
}

TEST_CASE("population: members are scored by success where that is asked, and by the mean step") {
  const auto rule = Make(Spec(2, {{"score", "success"}}));
  LifetimeBatch batch = Batch({5, 1}, {"a", "a"});
  batch.steps.success_signals = torch::tensor({{0.0, 0.0, 1.0, 0.0}, {1.0, 0.0, 1.0, 1.0}});
  FakeFleet fleet(batch);
  const auto report = rule->Run(&fleet, 0);
  REQUIRE(report.ok());
  CHECK(report->at("score_best") == 0.75);
  CHECK(report->at("score_worst") == 0.25);
  CHECK(fleet.parents == std::vector<uint32_t>{1, 1});
}

TEST_CASE("population: a saved state goes on as if nothing had happened") {
  const v1::ExperimentSpec spec = Spec(4, {{"window", "3"}, {"tune_gamma", "true"}});
  const auto whole = Make(spec);
  // Before any score.
  REQUIRE(whole->Load(Make(spec)->Save()).ok());
  REQUIRE(whole->Update(Batch({1, 2, 3, 4}, {"a", "a", "a", "a"}), 0).ok());
  const auto resumed = Make(spec);
  REQUIRE(resumed->Load(whole->Save()).ok());
  FakeFleet of_whole(Batch({4, 3, 2, 9}, {"a", "a", "a", "a"})),
      of_resumed(Batch({4, 3, 2, 9}, {"a", "a", "a", "a"}));
  REQUIRE(whole->Run(&of_whole, 1).ok());
  REQUIRE(resumed->Run(&of_resumed, 1).ok());
  CHECK(of_whole.parents.has_value());
  CHECK(of_whole.parents == of_resumed.parents);
  CHECK(torch::equal(whole->meta_parameters(), resumed->meta_parameters()));
  CHECK(whole->Tables() == resumed->Tables());
  TensorMap other = whole->Save();
  other["scores"] = torch::zeros({3, 1}, torch::kFloat64);
  CHECK(absl::IsDataLoss(resumed->Load(other)));
  CHECK_FALSE(resumed->Load({}).ok());
  CHECK(torch::equal(whole->meta_parameters(), resumed->meta_parameters()));
}

TEST_CASE("population: a score that is not finite is the worst, and not all may be") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const auto rule = Make(Spec(3));
  FakeFleet fleet(Batch({-5, kNan, -7}, {"a", "a", "a"}));
  REQUIRE(rule->Run(&fleet, 0).ok());
  CHECK(fleet.parents == std::vector<uint32_t>{0, 0, 2});
  const Tensor before = rule->meta_parameters().clone();
  CHECK(absl::IsFailedPrecondition(
      rule->Update(Batch({kNan, kNan, kNan}, {"a", "a", "a"}), 1).status()));
  CHECK(torch::equal(before, rule->meta_parameters()));
}

TEST_CASE("population: settings that cannot be are refused by field, all at once") {
  using Catch::Matchers::Contains;
  Violations violations;
  CHECK(
      MakeOuterRule(
          {.spec = Spec(1, {{"gamma_low", "0.9"}, {"gamma_high", "0.5"}, {"tune_gamma", "true"}})},
          &violations) == nullptr);
  const std::string message(violations.ToStatus().message());
  CHECK_THAT(message, Contains("rule.lifetimes_per_update") && Contains("rule.option.gamma_low"));
  // One value is a range, too.
  Make(Spec(2, {{"gamma_low", "0.9"}, {"gamma_high", "0.9"}, {"tune_gamma", "true"}}));
  Violations none;
  CHECK(
      MakeOuterRule({.spec = Spec(2, {{"tune_learning_rate", "false"}, {"tune_entropy", "false"}})},
                    &none) == nullptr);
  CHECK_THAT(std::string(none.ToStatus().message()), Contains("tune_learning_rate"));
}

}  // namespace mentor::methods::TEST_FILE
