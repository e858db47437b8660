#include "meta_learner/experiment/task_sampler.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/pause_point.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

// A random order of 0..n-1, sorted by 64-bit keys, so it needs no sequential generator.
std::vector<int> Permutation(int n, const RandomStream& random) {
  std::vector<std::pair<uint64_t, int>> keys;
  for (int i = 0; i < n; ++i)
    keys.emplace_back(random.Bits(/*step=*/0, static_cast<uint32_t>(i)), i);
  std::sort(keys.begin(), keys.end());
  std::vector<int> order;
  for (const auto& [key, index] : keys) order.push_back(index);
  return order;
}

RandomStream TaskStream(const v1::ExperimentSpec& spec, uint32_t round, int set) {
  return {.seed = spec.seed(),
          .purpose = Purpose::kTasks,
          .phase = Phase::kTraining,
          .lifetime = round,
          .iteration = static_cast<uint32_t>(set)};
}

// n goals out of `goals` for a benchmark of one environment.
std::vector<int> DrawGoals(int n, int goals, const RandomStream& random) {
  std::vector<int> drawn;
  for (int round = 0; round < n / goals; ++round) {
    for (int goal = 0; goal < goals; ++goal) drawn.push_back(goal);
  }
  std::vector<int> rest = Permutation(goals, random);
  rest.resize(n % goals);
  drawn.insert(drawn.end(), rest.begin(), rest.end());
  return drawn;
}

// Positions first .. first + n - 1 of an endless walk through permutations of the goals.
std::vector<int> WalkGoals(const v1::ExperimentSpec& spec, int set, int goals, int64_t first,
                           int n) {
  std::vector<int> walked;
  int64_t cycle = -1;
  std::vector<int> order;
  for (int64_t position = first; position < first + n; ++position) {
    if (position / goals != cycle) {
      cycle = position / goals;
      order = Permutation(goals, TaskStream(spec, static_cast<uint32_t>(cycle), set));
    }
    walked.push_back(order[position % goals]);
  }
  return walked;
}

// The index of a set's first listed task among those of all sets.
uint32_t FirstIndex(const std::vector<envs::TaskSet>& sets, int set) {
  uint32_t first = 0;
  for (int before = 0; before < set; ++before)
    first += static_cast<uint32_t>(sets[before].tasks.size());
  return first;
}

int EvaluatedGoals(const envs::TaskSet& set, const v1::ExperimentSpec& spec) {
  const int listed = static_cast<int>(set.tasks.size());
  const int asked = static_cast<int>(spec.evaluation().goals());
  return listed == 0 ? asked : asked == 0 ? listed : std::min(asked, listed);
}

}  // namespace

std::vector<SampledTask> TrainingTasks(const envs::Benchmark& benchmark,
                                       const v1::ExperimentSpec& spec, uint32_t outer_step,
                                       int alike) {
  const std::vector<envs::TaskSet>& sets = benchmark.Tasks(envs::Split::kTrain);
  const int num_sets = static_cast<int>(sets.size());
  const int lifetimes = static_cast<int>(spec.rule().lifetimes_per_update()) / num_sets;
  const int lifetimes_per_task = alike > 0 ? alike : lifetimes;
  const int per_set = lifetimes / lifetimes_per_task;
  std::vector<SampledTask> tasks;
  const auto add = [&](const SampledTask& task) {
    tasks.insert(tasks.end(), static_cast<size_t>(lifetimes_per_task), task);
  };
  for (int set = 0; set < num_sets; ++set) {
    const int goals = static_cast<int>(sets[set].tasks.size());
    if (goals == 0) {
      for (int i = 0; i < per_set; ++i) {
        add({sets[set].name, i,
             sets[set].draw(TaskStream(spec, outer_step, set), static_cast<uint32_t>(i))});
      }
      continue;
    }
    const std::vector<int> chosen =
        num_sets == 1 ? DrawGoals(per_set, goals, TaskStream(spec, outer_step, set))
                      : WalkGoals(spec, set, goals, int64_t{outer_step} * per_set, per_set);
    const uint32_t first = FirstIndex(sets, set);
    for (int goal : chosen)
      add({sets[set].name, goal, sets[set].tasks[goal], first + static_cast<uint32_t>(goal)});
  }
  return tasks;
}

int64_t NumListedTasks(const envs::Benchmark& benchmark) {
  int64_t listed = 0;
  for (const envs::TaskSet& set : benchmark.Tasks(envs::Split::kTrain)) {
    if (set.tasks.empty()) return 0;
    listed += static_cast<int64_t>(set.tasks.size());
  }
  return listed;
}

std::vector<SampledTask> EvaluationTasks(const envs::Benchmark& benchmark,
                                         const v1::ExperimentSpec& spec, envs::Split split) {
  const std::vector<envs::TaskSet>& sets = benchmark.Tasks(split);
  std::vector<SampledTask> tasks;
  for (int set = 0; set < static_cast<int>(sets.size()); ++set) {
    const int listed = static_cast<int>(sets[set].tasks.size());
    const int goals = EvaluatedGoals(sets[set], spec);
    // Evaluation goals come from their own phase, so they are fresh.
    RandomStream random = TaskStream(spec, /*round=*/0, set);
    random.phase = split == envs::Split::kTest ? Phase::kTestEvaluation : Phase::kTrainEvaluation;
    for (int goal = 0; goal < goals; ++goal) {
      const v1::EnvironmentTask task =
          listed == 0 ? sets[set].draw(random, static_cast<uint32_t>(goal)) : sets[set].tasks[goal];
      SampledTask sampled{sets[set].name, goal, task};
      if (split == envs::Split::kTrain && listed > 0)
        sampled.index = FirstIndex(sets, set) + static_cast<uint32_t>(goal);
      tasks.insert(tasks.end(), spec.evaluation().lifetimes_per_goal(), sampled);
    }
  }
  return tasks;
}

uint64_t NumEvaluationLifetimes(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                                envs::Split split) {
  // At most 2^32 sets of 2^17 goals with 2^14 lifetimes: 64 bits are enough.
  uint64_t goals = 0;
  for (const envs::TaskSet& set : benchmark.Tasks(split))
    goals += static_cast<uint64_t>(EvaluatedGoals(set, spec));
  return goals * spec.evaluation().lifetimes_per_goal();
}

absl::StatusOr<std::vector<SampledTask>> DrawWithin(
    const std::atomic<bool>& cancel, const std::function<std::vector<SampledTask>()>& draw,
    double cpu_seconds) {
  BoundedTurn turn(
      {.ends =
           [&cancel] { return cancel ? absl::CancelledError("interrupted") : absl::OkStatus(); },
       .cpu_seconds = cpu_seconds,
       .remedy = "give the bundle a parameter_condition, or the task set ranges, that "
                 "refuse less, or lower rule.lifetimes_per_update and "
                 "evaluation.goals"});
  const TurnScope scope(&turn);
  std::vector<SampledTask> tasks = draw();
  if (const absl::Status status = turn.Continue(); !status.ok())
    return WithPrefix("benchmark: drawing its tasks ", status);
  return tasks;
}

std::vector<envs::Split> EvaluatedSplits(const envs::Benchmark& benchmark,
                                         const v1::ExperimentSpec& spec) {
  if (benchmark.Tasks(envs::Split::kTest).empty() || spec.evaluation().only_train_goals())
    return {envs::Split::kTrain};
  if (!spec.evaluation().train_goals()) return {envs::Split::kTest};
  return {envs::Split::kTest, envs::Split::kTrain};
}

void CheckTasks(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                Violations* violations) {
  const std::vector<envs::TaskSet>& sets = benchmark.Tasks(envs::Split::kTrain);
  if (spec.rule().lifetimes_per_update() % sets.size() != 0) {
    violations->Add(
        "rule.lifetimes_per_update",
        absl::StrFormat("%d does not divide by the benchmark's %d environments; use a multiple",
                        spec.rule().lifetimes_per_update(), sets.size()));
  }
  if (spec.evaluation().lifetimes_per_goal() == 0) return;
  for (const envs::Split split : EvaluatedSplits(benchmark, spec)) {
    const uint64_t lifetimes = NumEvaluationLifetimes(benchmark, spec, split);
    const uint64_t goals = lifetimes / spec.evaluation().lifetimes_per_goal();
    if (lifetimes <= kEvaluationLifetimesMax) continue;
    violations->Add("evaluation.lifetimes_per_goal",
                    absl::StrFormat("is %d, which makes %d lifetimes with the %d %s goals; at most "
                                    "%d are allowed: give fewer, or lower evaluation.goals",
                                    spec.evaluation().lifetimes_per_goal(), lifetimes, goals,
                                    split == envs::Split::kTest ? "test" : "training",
                                    kEvaluationLifetimesMax));
    return;
  }
  if (spec.evaluation().goals() > 0) return;
  for (const envs::Split split : EvaluatedSplits(benchmark, spec)) {
    for (const envs::TaskSet& set : benchmark.Tasks(split)) {
      if (!set.tasks.empty()) continue;
      violations->Add("evaluation.goals", "0 means all goals, but this benchmark draws goals of " +
                                              set.name +
                                              " without end; give a number, for instance 512");
      return;
    }
  }
}

void CheckPairs(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                Violations* violations) {
  const size_t unit = 2 * benchmark.Tasks(envs::Split::kTrain).size();
  if (spec.rule().lifetimes_per_update() % unit == 0) return;
  violations->Add("rule.lifetimes_per_update",
                  absl::StrFormat("%d does not divide by %d: lifetimes are pairs on one task, as "
                                  "many for each of the benchmark's %d environments; use a "
                                  "multiple, or set option paired_noise to false",
                                  spec.rule().lifetimes_per_update(), unit, unit / 2));
}

}  // namespace mentor::meta_learner
