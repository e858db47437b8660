#include "meta_learner/experiment/task_sampler.h"

#include <atomic>
#include <map>
#include <set>

#include "common/pause_point.h"
#include "envs/benchmark.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::meta_learner::TEST_FILE {

using mentor::testing::Contains;

// `sets` environments with `goals` goals each; 0 goals: drawn afresh.
std::vector<envs::TaskSet> Sets(int sets, int goals) {
  std::vector<envs::TaskSet> made;
  for (int set = 0; set < sets; ++set) {
    envs::TaskSet& tasks = made.emplace_back();
    tasks.name = "env" + std::to_string(set);
    tasks.draw = [](const RandomStream& random, uint32_t index) {
      v1::EnvironmentTask task;
      task.add_parameters(random.Uniform(0, index));
      return task;
    };
    for (int goal = 0; goal < goals; ++goal) {
      const double vector[] = {static_cast<double>(goal)};
      tasks.tasks.Add(vector);
    }
  }
  return made;
}

envs::Benchmark FakeBenchmark(int sets, int goals) {
  return {{}, Sets(sets, goals), Sets(sets, goals)};
}

v1::ExperimentSpec Spec(uint32_t lifetimes) {
  v1::ExperimentSpec spec;
  spec.mutable_rule()->set_lifetimes_per_update(lifetimes);
  return spec;
}

std::map<std::pair<std::string, int>, int> Count(const std::vector<SampledTask>& tasks) {
  std::map<std::pair<std::string, int>, int> counts;
  for (const SampledTask& task : tasks) ++counts[{task.environment, task.goal}];
  return counts;
}

TEST_CASE("task sampler: one environment gets different goals, drawn anew for each update",
          "[unit]") {
  const envs::Benchmark benchmark = FakeBenchmark(1, 50);
  const auto first = TrainingTasks(benchmark, Spec(30), 0),
             again = TrainingTasks(benchmark, Spec(30), 0),
             second = TrainingTasks(benchmark, Spec(30), 1);
  CHECK(Count(first).size() == 30);
  CHECK(Count(first) == Count(again));
  CHECK(Count(first) != Count(second));
  std::set<int> seen;
  for (uint32_t step = 0; step < 20; ++step) {
    for (const SampledTask& task : TrainingTasks(benchmark, Spec(30), step)) seen.insert(task.goal);
  }
  CHECK(seen.size() == 50);
}

TEST_CASE("task sampler: more lifetimes than goals give each goal its share", "[unit]") {
  const auto counts = Count(TrainingTasks(FakeBenchmark(1, 4), Spec(10), 3));
  CHECK(counts.size() == 4);
  for (const auto& [goal, count] : counts) CHECK((count == 2 || count == 3));
}

TEST_CASE("task sampler: several environments share the lifetimes and walk through permutations",
          "[unit]") {
  const envs::Benchmark benchmark = FakeBenchmark(3, 5);
  std::map<std::pair<std::string, int>, int> total;
  for (uint32_t step = 0; step < 5;
       ++step) {  // 5 updates x 2 lifetimes = 2 permutations of 5 goals
    const auto tasks = TrainingTasks(benchmark, Spec(6), step);
    CHECK(tasks[0].environment == "env0");
    CHECK(tasks[5].environment == "env2");
    for (const auto& [key, count] : Count(tasks)) total[key] += count;
  }
  CHECK(total.size() == 15);
  for (const auto& [key, count] : total) CHECK(count == 2);
}

TEST_CASE("tasks: consecutive lifetimes share one, or all of an environment", "[unit]") {
  for (const int sets : {1, 3}) {
    const envs::Benchmark benchmark = FakeBenchmark(sets, 50);
    std::set<int> goals;
    for (uint32_t step = 0; step < 8; ++step) {
      const auto pairs = TrainingTasks(benchmark, Spec(12), step, /*alike=*/2);
      const auto one = TrainingTasks(benchmark, Spec(12), step, /*alike=*/0);
      REQUIRE(pairs.size() == 12);
      REQUIRE(one.size() == 12);
      for (size_t i = 0; i < 12; ++i) {
        CHECK(pairs[i].goal == pairs[i - i % 2].goal);
        const size_t first = i - i % (12 / sets);
        CHECK(one[i].goal == one[first].goal);
        CHECK(one[i].environment == one[first].environment);
        CHECK(one[i].index == one[first].index);
      }
      goals.insert(one[0].goal);
    }
    CHECK(goals.size() > 4);  // Each update draws anew.
  }
}

TEST_CASE("task sampler: an evaluation of too many lifetimes is refused (D6)", "[unit]") {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_evaluation()->set_lifetimes_per_goal(10'000);
  const auto complaint = [&](int goals) {
    Violations violations;
    CheckTasks(FakeBenchmark(2, goals), spec, &violations);
    return violations.empty() ? "" : violations.list()[0].description;
  };
  CHECK(complaint(50).empty());  // 2 * 50 * 10,000
  CHECK(complaint(51) ==
        "is 10000, which makes 1020000 lifetimes with the 102 test goals; at most 1000000 are "
        "allowed: give fewer, or lower evaluation.goals");
  spec.mutable_evaluation()->set_goals(50);
  CHECK(complaint(51).empty());
}

TEST_CASE("task sampler: evaluations take every goal, and never the training's draws", "[unit]") {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_evaluation()->set_lifetimes_per_goal(2);
  CHECK(EvaluationTasks(FakeBenchmark(2, 5), spec, envs::Split::kTest).size() == 20);
  spec.mutable_evaluation()->set_goals(3);
  const auto tasks = EvaluationTasks(FakeBenchmark(1, 5), spec, envs::Split::kTest);
  REQUIRE(tasks.size() == 6);
  CHECK(tasks[0].goal == tasks[1].goal);
  const envs::Benchmark drawn = FakeBenchmark(1, 0);
  std::set<double> seen;
  for (const auto& list :
       {TrainingTasks(drawn, spec, 0), EvaluationTasks(drawn, spec, envs::Split::kTest),
        EvaluationTasks(drawn, spec, envs::Split::kTrain)}) {
    for (const SampledTask& task : list) seen.insert(task.task.parameters(0));
  }
  CHECK(seen.size() == 4 + 3 + 3);
}

TEST_CASE("task sampler: what cannot be shared out is refused with a remedy", "[unit]") {
  Violations violations;
  CheckTasks(FakeBenchmark(3, 5), Spec(10), &violations);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "rule.lifetimes_per_update");
  Violations endless;
  CheckTasks(FakeBenchmark(1, 0), Spec(10), &endless);
  REQUIRE(endless.list().size() == 1);
  CHECK(endless.list()[0].field == "evaluation.goals");
}

TEST_CASE("task sampler: a benchmark without test tasks is evaluated on those of training",
          "[unit]") {
  using envs::Split;
  const envs::Benchmark benchmark({}, Sets(2, 5), {});
  v1::ExperimentSpec spec = Spec(4);
  // The brackets keep Catch2 from printing the vector, because LibTorch defines that operator for
  // all types.
  CHECK((EvaluatedSplits(benchmark, spec) == std::vector{Split::kTrain}));
  spec.mutable_evaluation()->set_train_goals(false);
  CHECK((EvaluatedSplits(benchmark, spec) == std::vector{Split::kTrain}));
  CHECK((EvaluatedSplits(FakeBenchmark(2, 5), spec) == std::vector{Split::kTest}));
  spec.mutable_evaluation()->set_train_goals(true);
  CHECK((EvaluatedSplits(FakeBenchmark(2, 5), spec) == std::vector{Split::kTest, Split::kTrain}));
  v1::ExperimentSpec tuned = spec;
  tuned.mutable_evaluation()->set_only_train_goals(true);
  CHECK((EvaluatedSplits(FakeBenchmark(2, 5), tuned) == std::vector{Split::kTrain}));
  tuned.mutable_evaluation()->set_train_goals(false);
  CHECK((EvaluatedSplits(FakeBenchmark(2, 5), tuned) == std::vector{Split::kTrain}));
  // Unlimited goals in an evaluated split, behind one with a list.
  std::vector<envs::TaskSet> sets = Sets(1, 5), drawn = Sets(2, 0);
  sets.push_back(drawn[1]);
  Violations endless, none;
  CheckTasks(envs::Benchmark({}, Sets(1, 5), sets), spec, &endless);
  REQUIRE(endless.list().size() == 1);
  CHECK(endless.list()[0].description.find("env1") != std::string::npos);
  spec.mutable_evaluation()->set_train_goals(false);
  CheckTasks(envs::Benchmark({}, drawn, Sets(1, 5)), spec, &none);
  CHECK(none.empty());
}

TEST_CASE("task sampler: what draws without end is ended, and says what helps", "[unit]") {
  std::vector<envs::TaskSet> sets = Sets(1, 0);
  sets[0].draw = [](const RandomStream&, uint32_t) {
    while (PausePoint().ok()) {
    }
    return v1::EnvironmentTask();
  };
  const envs::Benchmark endless({}, sets, sets);
  std::atomic<bool> cancel = false;
  const auto draw = [&] { return TrainingTasks(endless, Spec(30), 0); };
  const absl::Status long_drawn = DrawWithin(cancel, draw, /*cpu_seconds=*/0.01).status();
  CHECK(absl::IsInvalidArgument(long_drawn));
  CHECK(Contains(long_drawn, "benchmark: drawing its tasks takes more than 0.01 s"));
  CHECK(Contains(long_drawn, "lower rule.lifetimes_per_update"));
  cancel = true;
  CHECK(absl::IsCancelled(DrawWithin(cancel, draw).status()));
  // Others are drawn as without bounds.
  const envs::Benchmark benchmark = FakeBenchmark(1, 0);
  cancel = false;
  const auto bounded = DrawWithin(cancel, [&] { return TrainingTasks(benchmark, Spec(30), 2); });
  REQUIRE(bounded.ok());
  const auto plain = TrainingTasks(benchmark, Spec(30), 2);
  REQUIRE(bounded->size() == plain.size());
  for (size_t i = 0; i < plain.size(); ++i)
    CHECK((*bounded)[i].task.parameters(0) == plain[i].task.parameters(0));
}

}  // namespace mentor::meta_learner::TEST_FILE
