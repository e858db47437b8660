// Which tasks the lifetimes of an outer update or an evaluation get. Pure functions of seed and
// number: a resumed experiment draws the same tasks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "common/rng.h"
#include "envs/benchmark.h"
#include "mentor/v1/rollout_service.pb.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

// Limit of one evaluation. Its tasks are in memory together, some hundred bytes each.
inline constexpr uint64_t kEvaluationLifetimesMax = 1'000'000;

struct SampledTask {
  std::string environment;  // Name of the task set, under which rewards are normalised.
  int goal = 0;  // Index in the environment's list; for drawn tasks the index of the draw.
  v1::EnvironmentTask task = {};
  // Place among the listed training tasks, all sets joined; nothing for drawn and for test tasks.
  std::optional<uint32_t> index = {};
};

// Tasks of the lifetimes of outer update `outer_step`, in lifetime order
// (methods/black_box/README.md#outer-loop). One environment: different goals, drawn anew each time;
// with fewer goals than lifetimes each goal comes floor(n / goals) times and the rest are drawn.
// Several environments: the same number of lifetimes each; every environment walks through random
// permutations of its goals. Environments without a list draw every goal afresh. `alike`: so many
// consecutive lifetimes of an environment share a task; 0: all of them.
std::vector<SampledTask> TrainingTasks(const envs::Benchmark& benchmark,
                                       const v1::ExperimentSpec& spec, uint32_t outer_step,
                                       int alike = 1);
// Listed training tasks of all sets; 0 when some set draws its tasks.
int64_t NumListedTasks(const envs::Benchmark& benchmark);

// Tasks of an evaluation: every goal (or the first spec.evaluation.goals) of every environment,
// goal by goal, lifetimes_per_goal times.
std::vector<SampledTask> EvaluationTasks(const envs::Benchmark& benchmark,
                                         const v1::ExperimentSpec& spec, envs::Split split);

// How many lifetimes that is, without a draw.
uint64_t NumEvaluationLifetimes(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                                envs::Split split);

// Calls `draw` within bounds, because a bundle's condition may refuse most draws. CANCELLED when
// *cancel became true; INVALID_ARGUMENT after more than `cpu_seconds` of processor time.
inline constexpr double kDrawingSecondsMax = 60;
absl::StatusOr<std::vector<SampledTask>> DrawWithin(
    const std::atomic<bool>& cancel, const std::function<std::vector<SampledTask>()>& draw,
    double cpu_seconds = kDrawingSecondsMax);

// Splits of the final evaluation, in their order. A benchmark without test tasks is evaluated on
// its training tasks, whatever the spec says.
std::vector<envs::Split> EvaluatedSplits(const envs::Benchmark& benchmark,
                                         const v1::ExperimentSpec& spec);

// Adds violations for lifetimes that do not divide by environments, and for evaluations of
// unlimited goals or too many lifetimes.
void CheckTasks(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                Violations* violations);
// Checks for a rule whose lifetimes are pairs on one task.
void CheckPairs(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                Violations* violations);

}  // namespace mentor::meta_learner
