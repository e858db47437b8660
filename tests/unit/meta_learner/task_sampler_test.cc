#include "meta_learner/task_sampler.h"

#include <map>
#include <set>

#include "envs/benchmark.h"
#include "tests/testing.h"

namespace mentor::meta_learner {
namespace {

// `sets` environments with `goals` goals each; 0 goals: drawn afresh.
class FakeBenchmark : public envs::Benchmark {
 public:
  FakeBenchmark(int sets, int goals) {
    for (int set = 0; set < sets; ++set) {
      envs::TaskSet& tasks = sets_.emplace_back();
      tasks.environment = "env" + std::to_string(set);
      for (int goal = 0; goal < goals; ++goal) tasks.tasks.emplace_back().add_parameters(goal);
    }
  }
  const envs::EnvironmentInfo& info() const override { return info_; }
  const std::vector<envs::TaskSet>& Tasks(envs::Split) const override { return sets_; }
  v1::EnvironmentTask Draw(envs::Split, int set, const RandomStream& random,
                           uint32_t index) const override {
    v1::EnvironmentTask task;
    task.add_parameters(random.Uniform(0, index));
    return task;
  }

 private:
  envs::EnvironmentInfo info_;
  std::vector<envs::TaskSet> sets_;
};

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
  const FakeBenchmark benchmark(1, 50);
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
  const FakeBenchmark benchmark(3, 5);
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

TEST_CASE("task sampler: evaluations take every goal, and never the training's draws", "[unit]") {
  v1::ExperimentSpec spec = Spec(4);
  spec.mutable_evaluation()->set_lifetimes_per_goal(2);
  CHECK(EvaluationTasks(FakeBenchmark(2, 5), spec, envs::Split::kTest).size() == 20);
  spec.mutable_evaluation()->set_goals(3);
  const auto tasks = EvaluationTasks(FakeBenchmark(1, 5), spec, envs::Split::kTest);
  REQUIRE(tasks.size() == 6);
  CHECK(tasks[0].goal == tasks[1].goal);
  const FakeBenchmark drawn(1, 0);
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

}  // namespace
}  // namespace mentor::meta_learner
