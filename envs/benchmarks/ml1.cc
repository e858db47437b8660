// Benchmark ml1: one Meta-World environment, 50 training goals of generator goal_seed, 50 test
// goals of goal_seed + 1, hidden from the agent.
#include "common/check.h"
#include "envs/benchmark.h"
#include "envs/benchmarks/metaworld_goals.h"
#include "envs/metaworld/metaworld_environment.h"

namespace mentor::envs {
namespace {

class Ml1 : public Benchmark {
 public:
  Ml1(const metaworld::TaskEntry& entry, uint32_t goal_seed)
      : info_{.name = entry.name,
              .summary = entry.facts.summary,
              .observation_size = metaworld::kObservationSize,
              .action_size = metaworld::kActionSize,
              .episode_steps = metaworld::kEpisodeSteps,
              .independent_episodes = true},
        train_{MakeSet(entry, goal_seed)},
        test_{MakeSet(entry, goal_seed + 1)} {}

  const EnvironmentInfo& info() const override { return info_; }
  const std::vector<TaskSet>& Tasks(Split split) const override {
    return split == Split::kTrain ? train_ : test_;
  }
  v1::EnvironmentTask Draw(Split, int, const RandomStream&, uint32_t) const override {
    MENTOR_CHECK(false);  // Its lists are never empty.
  }

 private:
  static TaskSet MakeSet(const metaworld::TaskEntry& entry, uint32_t seed) {
    TaskSet set{.environment = entry.name, .tasks = {}};
    for (const metaworld::RandVec& v : GoalTable(seed).Next(entry.facts.rand_vec)) {
      v1::EnvironmentTask& task = set.tasks.emplace_back();
      task.set_environment(entry.name);
      task.mutable_parameters()->Add(v.value.begin(), v.value.begin() + v.size);
    }
    return set;
  }

  const EnvironmentInfo info_;
  const std::vector<TaskSet> train_, test_;
};

const RegisterBenchmark kRegister({
    .name = "ml1",
    .summary = "Meta-World ML1: one environment, 50 training and 50 test goals, hidden.",
    .takes_environment = true,
    .make = [](const v1::BenchmarkSpec& spec,
               Violations* violations) -> std::unique_ptr<Benchmark> {
      const auto& registry = Registry<metaworld::TaskEntry>::Instance();
      const metaworld::TaskEntry* entry = metaworld::FindTask(spec.environment());
      if (entry == nullptr) {
        violations->Add("benchmark.environment",
                        registry.Unknown("Meta-World environment", spec.environment()));
      }
      Violations found;
      OptionValues::Parse({}, spec.option(), "benchmark.option", &found);
      for (const Violation& violation : found.list())
        violations->Add(violation.field, violation.description);
      if (entry == nullptr || !found.empty()) return nullptr;
      return std::make_unique<Ml1>(*entry, spec.goal_seed());
    },
});

}  // namespace
}  // namespace mentor::envs
