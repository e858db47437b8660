// Benchmark custom: a user's own, written in the spec as sets of tasks.
#include <algorithm>
#include <map>
#include <optional>

#include <absl/strings/str_format.h>

#include "envs/benchmarks/task_sets.h"

namespace mentor::envs {
namespace {

// Somebody reads them, and each is compared with all others.
constexpr size_t kViolationsMax = 100;

// Errors of the benchmark's wrappers are found with every set, and reported once.
void AddNew(const Violations& found, Violations* violations) {
  for (const Violation& violation : found.list()) {
    const auto is_same = [&](const Violation& said) {
      return said.field == violation.field && said.description == violation.description;
    };
    if (std::none_of(violations->list().begin(), violations->list().end(), is_same))
      violations->Add(violation.field, violation.description);
  }
}

std::unique_ptr<Benchmark> MakeCustom(const v1::BenchmarkSpec& spec, Violations* violations) {
  if (!CheckCost(spec, violations)) return nullptr;
  const size_t before = violations->list().size();
  if (!spec.option().empty()) {
    violations->Add("benchmark.option",
                    "belongs to no environment here; write it into each task_set");
  }
  std::vector<TaskSet> sets[2];  // By split.
  std::map<std::pair<v1::TaskSplit, std::string>, int> numbers;
  std::optional<EnvironmentInfo> info;
  int first = 0;  // The set that info is of.
  for (int i = 0; i < spec.task_set_size(); ++i) {
    const v1::TaskSetSpec& set = spec.task_set(i);
    const std::string path = absl::StrFormat("benchmark.task_set[%d]", i);
    Violations found;
    std::optional<MadeTaskSet> made =
        MakeTaskSet(set, path, static_cast<uint32_t>(i), spec, &found);
    AddNew(found, violations);
    if (violations->list().size() - before > kViolationsMax) return nullptr;
    if (!made) continue;
    const auto [same, is_new] = numbers.emplace(std::pair(set.split(), made->tasks.name), i);
    if (!is_new) {
      violations->Add(path + ".name",
                      absl::StrFormat("is '%s', as of task_set[%d] in the same split; give each a "
                                      "name of its own",
                                      made->tasks.name, same->second));
    }
    if (!info) {
      info = made->info;
      first = i;
    }
    for (const auto& [member, what] :
         {std::pair(&EnvironmentInfo::observation_size, "numbers in an observation"),
          std::pair(&EnvironmentInfo::action_size, "numbers in an action"),
          std::pair(&EnvironmentInfo::episode_steps, "steps in an episode")}) {
      if (made->info.*member == (*info).*member) continue;
      violations->Add(
          path, absl::StrFormat("%s has %d %s, %s of task_set[%d] has %d; the environments of a "
                                "benchmark share their sizes",
                                set.environment(), made->info.*member, what,
                                spec.task_set(first).environment(), first, (*info).*member));
    }
    if (made->info.discrete_actions != info->discrete_actions) {
      violations->Add(path, absl::StrFormat("%s has %s actions, %s of task_set[%d] has not; the "
                                            "environments of a benchmark share their kind",
                                            set.environment(),
                                            made->info.discrete_actions ? "discrete" : "continuous",
                                            spec.task_set(first).environment(), first));
    }
    info->independent_episodes = info->independent_episodes && made->info.independent_episodes;
    info->saves_state = info->saves_state && made->info.saves_state;
    sets[set.split() == v1::TEST].push_back(std::move(made->tasks));
  }
  const auto is_training = [](const v1::TaskSetSpec& set) { return set.split() == v1::TRAIN; };
  if (std::none_of(spec.task_set().begin(), spec.task_set().end(), is_training)) {
    violations->Add("benchmark.task_set",
                    "has no entry with split TRAIN; give one, for instance "
                    "task_set { environment: \"reach-v3\" }");
  }
  if (violations->list().size() != before) return nullptr;
  return std::make_unique<Benchmark>(*info, std::move(sets[0]), std::move(sets[1]));
}

const RegisterBenchmark kRegisterCustom({
    .name = "custom",
    .summary = "Tasks that the spec itself lists or draws from ranges: benchmark.task_set.",
    .takes_task_sets = true,
    .make = MakeCustom,
});

}  // namespace
}  // namespace mentor::envs
