#include "meta_learner/curricula/adr.h"

#include <cmath>
#include <set>

#include <absl/strings/numbers.h>

#include "common/spec/spec.h"
#include "methods/base/outer_rule.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Catch::Contains;

constexpr char kHopper[] =
    "benchmark { name: 'single' environment: 'Hopper-v5' wrapper { name: 'domain_randomization' "
    "option { name: 'mass_low' value: '0.5' } option { name: 'mass_high' value: '2' } "
    "option { name: 'gain_low' value: '0.9' } option { name: 'gain_high' value: '1.2' } "
    "option { name: 'friction_low' value: '2' } option { name: 'friction_high' value: '2' } } }";
constexpr char kPoints[] =
    "benchmark { name: 'custom' task_set { environment: 'point_reach' range { low: -1 high: 1 } "
    "range { low: 0.25 high: 0.75 } } }";

v1::ExperimentSpec Spec(const std::string& text) {
  Violations violations;
  const v1::ExperimentSpec spec = WithDefaults(ParseSpec(text, {}, &violations));
  INFO(violations.ToStatus().ToString());
  REQUIRE(violations.empty());
  return spec;
}

std::string Adrs(const std::string& options) {
  return " curriculum { name: 'adr' " + options + " }";
}

std::unique_ptr<Curriculum> Made(const std::string& text, bool pairs = false) {
  Violations violations;
  auto curriculum = MakeCurriculum({.spec = Spec(text), .pairs = pairs}, &violations);
  INFO(violations.ToStatus().ToString());
  REQUIRE(curriculum != nullptr);
  return curriculum;
}

std::string Refusal(const std::string& text) {
  Violations violations;
  CHECK(MakeCurriculum({.spec = Spec(text)}, &violations) == nullptr);
  return std::string(violations.ToStatus().message());
}

// A task of the benchmark of kHopper, as it is drawn.
v1::EnvironmentTask HopperTask() {
  v1::EnvironmentTask task;
  task.set_environment("Hopper-v5");
  task.add_wrappers()->set_name("time_feature");
  *task.add_wrappers() = Spec(kHopper).benchmark().wrapper(0);
  return task;
}

double Setting(const v1::EnvironmentTask& task, const std::string& name) {
  for (const v1::Option& option : task.wrappers(1).option()) {
    double value = 0;
    if (option.name() == name && absl::SimpleAtod(option.value(), &value)) return value;
  }
  return std::nan("");
}

// All lifetimes at ends succeed so often.
std::vector<Achievement> All(size_t lifetimes, double success) {
  return std::vector<Achievement>(lifetimes, {.success = success, .shaped_reward = 0});
}

TEST_CASE("adr: a lifetime at an end has that parameter at it, the others their range") {
  const auto adr = Made(kHopper + Adrs("option { name: 'buffer' value: '1' }"));
  for (uint32_t generation = 0; generation < 30; ++generation)
    REQUIRE(adr->Observe(generation, All(16, 1)).ok());
  int at_ends = 0;
  std::set<double> masses, gains;
  for (uint32_t lifetime = 0; lifetime < 400; ++lifetime) {
    v1::EnvironmentTask task = HopperTask();
    adr->ChangeTask(7, lifetime, &task);
    v1::EnvironmentTask again = HopperTask();
    adr->ChangeTask(7, lifetime, &again);
    CHECK(task.SerializeAsString() == again.SerializeAsString());
    CHECK(task.wrappers(0).option().empty());
    const bool mass = Setting(task, "mass_low") == Setting(task, "mass_high"),
               gain = Setting(task, "gain_low") == Setting(task, "gain_high");
    CHECK_FALSE((mass && gain));
    at_ends += mass || gain;
    if (mass) masses.insert(Setting(task, "mass_low"));
    if (gain) gains.insert(Setting(task, "gain_low"));
    // No range: as the spec has it.
    CHECK(Setting(task, "friction_low") == 2);
    CHECK(Setting(task, "friction_high") == 2);
  }
  CHECK(at_ends > 160);
  CHECK(at_ends < 240);
  CHECK(masses == std::set<double>{0.5, 2});
  CHECK(gains == std::set<double>{0.9, 1.2});
}

TEST_CASE("adr: ranges begin as points, and each end moves by its share of the way to its limit") {
  const auto adr = Made(kHopper + Adrs("option { name: 'buffer' value: '1' } option { name: "
                                       "'step' value: '0.25' } option { name: 'boundary' value: "
                                       "'1' }"));
  v1::EnvironmentTask task = HopperTask();
  adr->ChangeTask(0, 0, &task);
  for (const char* name : {"mass_low", "mass_high", "gain_low", "gain_high"})
    CHECK(Setting(task, name) == 1);
  const auto first = adr->Observe(0, All(1, 1));
  REQUIRE(first.ok());
  CHECK(first->at("boundary_lifetimes") == 1);
  CHECK(first->at("range_moves") == 1);
  std::set<double> moved;
  for (const auto& [name, value] : *first) {
    if ((name.starts_with("range_low/") || name.starts_with("range_high/")) && value != 1)
      moved.insert(value);
  }
  REQUIRE(moved.size() == 1);
  CHECK((*moved.begin() == 0.875 || *moved.begin() == 1.25 || *moved.begin() == 0.975 ||
         *moved.begin() == 1.05));
  for (uint32_t generation = 1; generation < 60; ++generation)
    REQUIRE(adr->Observe(generation, All(2, 1)).ok());
  const auto whole = adr->Observe(60, All(1, 0.5));
  REQUIRE(whole.ok());
  CHECK(whole->at("range_low/mass") == 0.5);
  CHECK(whole->at("range_high/mass") == 2);
  CHECK(whole->at("range_moves") == 0);
  CHECK(std::abs(whole->at("range_entropy") - (std::log(1.5) + std::log(1.2 - 0.9)) / 2) < 1e-12);
  // The range narrows, but no further than the nominal value.
  for (uint32_t generation = 61; generation < 120; ++generation)
    REQUIRE(adr->Observe(generation, All(2, 0)).ok());
  const auto narrow = adr->Observe(120, All(1, 0.5));
  REQUIRE(narrow.ok());
  CHECK(narrow->at("range_low/mass") == 1);
  CHECK(narrow->at("range_high/gain") == 1);
  CHECK(std::abs(narrow->at("range_entropy") - std::log(1e-12)) < 1e-9);
}

TEST_CASE("adr: without shrink, failure moves nothing") {
  const std::string one = "option { name: 'buffer' value: '1' }";
  const auto adr = Made(kHopper + Adrs(one + "option { name: 'shrink' value: 'false' }"));
  REQUIRE(adr->Observe(0, All(16, 1)).ok());
  const auto failed = adr->Observe(1, All(16, 0));
  REQUIRE(failed.ok());
  CHECK(failed->at("boundary_lifetimes") > 0);
  CHECK(failed->at("range_moves") == 0);
}

TEST_CASE("adr: numbers of tasks are drawn from their ranges, or stand at an end") {
  const auto adr = Made(kPoints + Adrs("option { name: 'parameters' value: 'task' } option { name: "
                                       "'buffer' value: '1' } option { name: 'step' value: '0.5' "
                                       "}"));
  v1::EnvironmentTask task;
  task.add_parameters(9);
  task.add_parameters(9);
  adr->ChangeTask(0, 0, &task);
  CHECK(task.parameters(0) == 0);
  CHECK(task.parameters(1) == 0.5);
  for (uint32_t generation = 0; generation < 8; ++generation)
    REQUIRE(adr->Observe(generation, All(16, 1)).ok());
  std::set<double> seen[2];
  int at_ends = 0;
  for (uint32_t lifetime = 0; lifetime < 400; ++lifetime) {
    adr->ChangeTask(8, lifetime, &task);
    CHECK(std::abs(task.parameters(0)) <= 1);
    CHECK(std::abs(task.parameters(1) - 0.5) <= 0.25);
    at_ends += std::abs(task.parameters(0)) == 1 || std::abs(task.parameters(1) - 0.5) == 0.25;
    for (int i = 0; i < 2; ++i) seen[i].insert(task.parameters(i));
  }
  CHECK(at_ends > 160);
  CHECK(at_ends < 240);
  CHECK(seen[0].size() > 200);
  CHECK(seen[1].size() > 200);
}

TEST_CASE("adr: lifetimes that are pairs have one task") {
  const std::string text = kPoints + Adrs(
                                         "option { name: 'parameters' value: 'task' } option { "
                                         "name: 'buffer' value: '1' }");
  for (const bool pairs : {true, false}) {
    const auto adr = Made(text, pairs);
    REQUIRE(adr->Observe(0, All(32, 1)).ok());
    int same = 0;
    for (uint32_t lifetime = 0; lifetime < 32; lifetime += 2) {
      v1::EnvironmentTask tasks[2];
      for (uint32_t i = 0; i < 2; ++i) {
        tasks[i].add_parameters(0);
        tasks[i].add_parameters(0);
        adr->ChangeTask(1, lifetime + i, &tasks[i]);
      }
      same += tasks[0].SerializeAsString() == tasks[1].SerializeAsString();
    }
    CHECK((same == 16) == pairs);
  }
}

TEST_CASE("adr: lifetimes without an ended episode decide nothing, unless the reward decides") {
  const std::string one = "option { name: 'buffer' value: '1' }";
  const std::vector<Achievement> open(16, {.success = std::nullopt, .shaped_reward = 1});
  const auto by_success = Made(kHopper + Adrs(one));
  const auto unmoved = by_success->Observe(0, open);
  REQUIRE(unmoved.ok());
  CHECK(unmoved->at("boundary_lifetimes") > 0);
  CHECK(unmoved->at("range_moves") == 0);
  const auto by_reward =
      Made(kHopper + Adrs(one + "option { name: 'performance' value: 'shaped' }"));
  const auto moved = by_reward->Observe(0, open);
  REQUIRE(moved.ok());
  CHECK(moved->at("range_moves") > 0);
}

TEST_CASE("adr: a reward that is not finite is an error and leaves the state as it was") {
  const auto adr = Made(kHopper + Adrs("option { name: 'buffer' value: '1' }"));
  std::vector<Achievement> lifetimes = All(16, 1);
  lifetimes[15].shaped_reward = INFINITY;
  const auto ends = adr->Save().at("ends");
  const auto report = adr->Observe(0, lifetimes);
  CHECK(report.status().code() == absl::StatusCode::kInternal);
  CHECK_THAT(std::string(report.status().message()), Contains("lifetime 15"));
  CHECK(ends.equal(adr->Save().at("ends")));
}

TEST_CASE("adr: a state of another form is data loss that names the tensor") {
  const auto adr = Made(kHopper + Adrs(""));
  REQUIRE(adr->Observe(0, All(16, 1)).ok());
  const methods::TensorMap whole = adr->Save();
  CHECK(adr->Load(whole).ok());
  const auto refused = [&](const std::string& name, const torch::Tensor& tensor) {
    methods::TensorMap state = whole;
    state[name] = tensor;
    const absl::Status status = adr->Load(state);
    CHECK(status.code() == absl::StatusCode::kDataLoss);
    CHECK_THAT(std::string(status.message()), Contains("'" + name + "'"));
    for (const auto& [kept, value] : adr->Save()) CHECK(value.equal(whole.at(kept)));
  };
  refused("ends", torch::ones({3, 2}, torch::kFloat64));
  refused("ends", torch::full({2, 2}, NAN, torch::kFloat64));
  refused("ends", torch::tensor({{0.4, 1.0}, {1.0, 1.0}}, torch::kFloat64));
  refused("ends", torch::tensor({{1.0, 0.9}, {1.0, 1.0}}, torch::kFloat64));
  refused("counts", torch::full({2, 2}, 10, torch::kInt64));
  refused("counts", torch::full({2, 2}, -1, torch::kInt64));
  refused("buffered", torch::ones({1000}, torch::kFloat64));
}

TEST_CASE("adr: what does not fit is refused with the remedy, all at once") {
  const std::string task = "option { name: 'parameters' value: 'task' }";
  CHECK_THAT(Refusal("benchmark { name: 'point_reach' }" + Adrs("")),
             Contains("curriculum.option.parameters") && Contains("has no domain_randomization") &&
                 Contains("add one, or set task"));
  CHECK_THAT(Refusal(kHopper + Adrs(task)),
             Contains("curriculum.option.parameters") && Contains("custom"));
  const std::string two = Refusal(
      "benchmark { name: 'point_reach' }" +
      Adrs("option { name: 'threshold_low' value: '0.9' } option { name: 'parameters' value: "
           "'wrapper' }"));
  CHECK_THAT(two, Contains("curriculum.option.threshold_low") && Contains("is 0.9") &&
                      Contains("threshold_high = 0.8") && Contains("curriculum.option.parameters"));
  CHECK_THAT(Refusal("benchmark { name: 'single' environment: 'Hopper-v5' wrapper { name: "
                     "'domain_randomization' option { name: 'latency_max' value: '2' } } }" +
                     Adrs("")),
             Contains("no range there is wider than a point"));
  CHECK_THAT(Refusal("benchmark { name: 'single' environment: 'Hopper-v5' wrapper { name: "
                     "'domain_randomization' option { name: 'mass_low' value: '1.5' } option { "
                     "name: 'mass_high' value: '2' } } }" +
                     Adrs("")),
             Contains("benchmark.wrapper") && Contains("without the nominal 1"));
  // Tasks drawn once cannot change.
  CHECK_THAT(Refusal("benchmark { name: 'custom' task_set { environment: 'point_reach' goals: 5 "
                     "range { low: -1 high: 1 } range { low: 0 high: 1 } } }" +
                     Adrs(task)),
             Contains("goals 0"));
  CHECK_THAT(Refusal(kHopper + Adrs("option { name: 'step' value: '2' } option { name: 'buffer' "
                                    "value: '0' }")),
             Contains("curriculum.option.step") && Contains("curriculum.option.buffer"));
  CHECK_THAT(Refusal(std::string(kHopper) + " curriculum { name: 'drift' }"),
             Contains("curriculum.name") && Contains("known: adr"));
}

TEST_CASE("curricula: an experiment reports what its rule and its curriculum do") {
  const v1::ExperimentSpec without = Spec(kHopper), with = Spec(kHopper + Adrs(""));
  CHECK_FALSE(without.has_curriculum());
  CHECK(FindMetric(AllMetrics(without), "range_entropy") == nullptr);
  CHECK(FindMetric(AllMetrics(with), "range_entropy") != nullptr);
  CHECK(AllMetrics(without).size() == methods::AllMetrics(without.rule().name()).size());
}

}  // namespace mentor::meta_learner::TEST_FILE
