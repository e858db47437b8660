// Meta-World's benchmarks: lists of environments with 50 goals each, drawn as the Python package
// draws them for every seed (docs/metaworld.md#goals).
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "envs/benchmark.h"
#include "envs/benchmarks/task_sets.h"
#include "envs/metaworld/metaworld_environment.h"
#include "envs/metaworld/task.h"

namespace mentor::envs {
namespace {

constexpr int kGoalsPerEnvironment = 50;

// The task vectors of a benchmark, for any seed, as metaworld 3.1.1 draws them. The generator runs
// on from one environment to the next.
class GoalTable {
 public:
  explicit GoalTable(uint32_t seed) : generator_(seed) {}

  // The next environment's 50 vectors.
  std::vector<metaworld::RandVec> Next(const metaworld::RandVecBox& box) {
    std::vector<metaworld::RandVec> goals;
    for (int i = 0; i < kGoalsPerEnvironment; ++i) {
      Draw(box);  // For the reset's first pass, which the second overwrites.
      goals.push_back(Draw(box));
    }
    return goals;
  }

 private:
  metaworld::RandVec Draw(const metaworld::RandVecBox& box) {
    metaworld::RandVec v{.size = box.size};
    do {
      for (int i = 0; i < v.size; ++i)
        v.value[i] = box.low[i] + (box.high[i] - box.low[i]) * Uniform();
    } while (box.refuses(v));
    return v;
  }
  // 53 bits of two words, the first word first.
  double Uniform() {
    const double high = static_cast<double>(generator_() >> 5);
    const double low = static_cast<double>(generator_() >> 6);
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  std::mt19937 generator_;
};

struct MetaWorldBenchmark {
  // The seed of the test goals is spec.goal_seed plus this. Each split has its own generator.
  uint32_t test_seed_offset = 0;
  // Multi-task: goals are shown, and the option one_hot appends the environment's number.
  bool multi_task = false;
  bool one_hot_by_default = false;
  // Environments in the order of their goals; none: the spec names the one of both splits.
  std::vector<std::string> train = {}, test = {};
};

// The benchmark's own change to its environment number `index` of `count`.
v1::WrapperSpec OneHot(size_t index, size_t count) {
  v1::WrapperSpec wrapper;
  wrapper.set_name("one_hot_task");
  for (const auto& [name, value] : {std::pair("index", index), std::pair("count", count)}) {
    v1::Option& option = *wrapper.add_option();
    option.set_name(name);
    option.set_value(absl::StrCat(value));
  }
  return wrapper;
}

BoundOptions<bool> Options(const MetaWorldBenchmark& benchmark) {
  if (!benchmark.multi_task) return Bind<bool>({});
  return Bind<bool>({{kItself, "one_hot", benchmark.one_hot_by_default,
                      "Observations end with the one-hot number of their environment."}});
}

std::unique_ptr<Benchmark> Make(const MetaWorldBenchmark& benchmark, const v1::BenchmarkSpec& spec,
                                Violations* violations) {
  const size_t before = violations->list().size();
  const BoundOptions<bool> bound = Options(benchmark);
  const OptionValues options =
      OptionValues::Parse(bound.table(), spec.option(), "benchmark.option", violations);
  if (violations->list().size() != before) return nullptr;
  const bool one_hot = bound.Read(options);

  const auto make_sets = [&](const std::vector<std::string>& environments, uint32_t seed) {
    GoalTable table(seed);
    std::vector<TaskSet> sets;
    for (size_t i = 0; i < environments.size(); ++i) {
      const metaworld::TaskEntry* entry = metaworld::FindTask(environments[i]);
      MENTOR_CHECK(entry != nullptr);
      v1::EnvironmentTask task;
      task.set_environment(entry->name);
      task.set_goal_visible(benchmark.multi_task);
      if (one_hot) *task.add_wrappers() = OneHot(i, environments.size());
      task.mutable_wrappers()->MergeFrom(spec.wrapper());
      TaskSet& set =
          sets.emplace_back(TaskSet{.name = entry->name, .tasks = TaskList(std::move(task))});
      for (const metaworld::RandVec& v : table.Next(entry->facts.rand_vec))
        set.tasks.Add(std::span(v.value).first(static_cast<size_t>(v.size)));
    }
    return sets;
  };
  std::vector<TaskSet> train = make_sets(benchmark.train, spec.goal_seed()),
                       test =
                           make_sets(benchmark.test, spec.goal_seed() + benchmark.test_seed_offset);

  // All environments have the same sizes; wrappers are tried on the first one.
  const metaworld::TaskEntry& first = *metaworld::FindTask(benchmark.train[0]);
  EnvironmentInfo info{.name = first.name,
                       .summary = first.facts.summary,
                       .observation_size = metaworld::kObservationSize,
                       .action_size = metaworld::kActionSize,
                       .episode_steps = metaworld::kEpisodeSteps,
                       .independent_episodes = true};
  if (one_hot || !spec.wrapper().empty()) {
    v1::TaskSetSpec set;
    set.set_environment(first.name);
    if (one_hot) *set.add_wrapper() = OneHot(0, benchmark.train.size());
    const auto made = MakeEnvironmentOf(set, "benchmark", spec, violations);
    if (made == nullptr) return nullptr;
    info = made->info();
  }
  return std::make_unique<Benchmark>(info, std::move(train), std::move(test));
}

std::unique_ptr<Benchmark> MakeOfOne(MetaWorldBenchmark benchmark, const v1::BenchmarkSpec& spec,
                                     Violations* violations) {
  if (metaworld::FindTask(spec.environment()) == nullptr) {
    violations->Add("benchmark.environment", Registry<metaworld::TaskEntry>::Instance().Unknown(
                                                 "Meta-World environment", spec.environment()));
    return nullptr;
  }
  benchmark.train = {spec.environment()};
  if (!benchmark.multi_task) benchmark.test = benchmark.train;
  return Make(benchmark, spec, violations);
}

BenchmarkEntry EntryOf(std::string name, std::string summary, MetaWorldBenchmark benchmark,
                       const char* train = "", const char* test = "") {
  benchmark.train = absl::StrSplit(train, ' ', absl::SkipEmpty());
  benchmark.test = absl::StrSplit(test, ' ', absl::SkipEmpty());
  const bool of_one = benchmark.train.empty();
  return {.name = std::move(name),
          .summary = std::move(summary),
          .options = Options(benchmark).table(),
          .takes_environment = of_one,
          .make = [of_one, benchmark](const v1::BenchmarkSpec& spec, Violations* violations) {
            return of_one ? MakeOfOne(benchmark, spec, violations)
                          : Make(benchmark, spec, violations);
          }};
}

constexpr char kTrain45[] =
    "assembly-v3 basketball-v3 button-press-topdown-v3 button-press-topdown-wall-v3 "
    "button-press-v3 button-press-wall-v3 coffee-button-v3 coffee-pull-v3 coffee-push-v3 "
    "dial-turn-v3 disassemble-v3 door-close-v3 door-open-v3 drawer-close-v3 drawer-open-v3 "
    "faucet-open-v3 faucet-close-v3 hammer-v3 handle-press-side-v3 handle-press-v3 "
    "handle-pull-side-v3 handle-pull-v3 lever-pull-v3 pick-place-wall-v3 pick-out-of-hole-v3 "
    "push-back-v3 pick-place-v3 plate-slide-v3 plate-slide-side-v3 plate-slide-back-v3 "
    "plate-slide-back-side-v3 peg-insert-side-v3 peg-unplug-side-v3 soccer-v3 stick-push-v3 "
    "stick-pull-v3 push-wall-v3 push-v3 reach-wall-v3 reach-v3 shelf-place-v3 sweep-into-v3 "
    "sweep-v3 window-open-v3 window-close-v3";
// In the order of Meta-World's list, which is also the order of the goals.
constexpr char kAll[] =
    "assembly-v3 basketball-v3 bin-picking-v3 box-close-v3 button-press-topdown-v3 "
    "button-press-topdown-wall-v3 button-press-v3 button-press-wall-v3 coffee-button-v3 "
    "coffee-pull-v3 coffee-push-v3 dial-turn-v3 disassemble-v3 door-close-v3 door-lock-v3 "
    "door-open-v3 door-unlock-v3 hand-insert-v3 drawer-close-v3 drawer-open-v3 faucet-open-v3 "
    "faucet-close-v3 hammer-v3 handle-press-side-v3 handle-press-v3 handle-pull-side-v3 "
    "handle-pull-v3 lever-pull-v3 pick-place-wall-v3 pick-out-of-hole-v3 pick-place-v3 "
    "plate-slide-v3 plate-slide-side-v3 plate-slide-back-v3 plate-slide-back-side-v3 "
    "peg-insert-side-v3 peg-unplug-side-v3 soccer-v3 stick-push-v3 stick-pull-v3 push-v3 "
    "push-wall-v3 push-back-v3 reach-v3 reach-wall-v3 shelf-place-v3 sweep-into-v3 sweep-v3 "
    "window-open-v3 window-close-v3";

const RegisterBenchmark kRegisterMetaWorld[] = {
    RegisterBenchmark(
        EntryOf("ml1", "Meta-World ML1: one environment, 50 training and 50 test goals, hidden.",
                {.test_seed_offset = 1})),
    RegisterBenchmark(EntryOf(
        "ml10", "Meta-World ML10: 10 training and 5 test environments, 50 goals each, hidden.", {},
        "reach-v3 push-v3 pick-place-v3 door-open-v3 drawer-close-v3 button-press-topdown-v3 "
        "peg-insert-side-v3 window-open-v3 sweep-v3 basketball-v3",
        "drawer-open-v3 door-close-v3 shelf-place-v3 sweep-into-v3 lever-pull-v3")),
    RegisterBenchmark(EntryOf(
        "ml45", "Meta-World ML45: 45 training and 5 test environments, 50 goals each, hidden.", {},
        kTrain45, "bin-picking-v3 box-close-v3 hand-insert-v3 door-lock-v3 door-unlock-v3")),
    // Multi-task benchmarks have no test tasks. MT1 has the training goals of ML1.
    RegisterBenchmark(
        EntryOf("mt1", "Meta-World MT1: one environment, 50 goals, shown.", {.multi_task = true})),
    RegisterBenchmark(
        EntryOf("mt10", "Meta-World MT10: 10 environments, 50 goals each, shown; one-hot number.",
                {.multi_task = true, .one_hot_by_default = true},
                "reach-v3 push-v3 pick-place-v3 door-open-v3 drawer-open-v3 drawer-close-v3 "
                "button-press-topdown-v3 peg-insert-side-v3 window-open-v3 window-close-v3")),
    // Meta-World itself has no benchmark of this name; this is what MT10 is to ten environments.
    RegisterBenchmark(EntryOf(
        "mt45", "The 45 training environments of ML45, 50 goals each, shown; one-hot number.",
        {.multi_task = true, .one_hot_by_default = true}, kTrain45)),
    RegisterBenchmark(
        EntryOf("mt50", "Meta-World MT50: 50 environments, 50 goals each, shown; one-hot number.",
                {.multi_task = true, .one_hot_by_default = true}, kAll))};

}  // namespace
}  // namespace mentor::envs
