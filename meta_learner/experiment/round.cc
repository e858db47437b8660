#include "meta_learner/experiment/round.h"

#include <iterator>
#include <utility>

#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "learner/agents/segment.h"

namespace mentor::meta_learner {

Round RoundOf(const RuleNeeds& needs, const v1::ExperimentSpec& spec, uint32_t outer_step) {
  if (!needs.decisions_inside_lifetime) return {.generation = outer_step};
  const uint32_t iterations = spec.lifetime().iterations();
  const uint32_t iteration = outer_step % iterations;
  return {.generation = outer_step / iterations,
          .iteration = iteration,
          .last = iteration + 1 == iterations};
}

absl::StatusOr<std::vector<v1::Shard>> RoundShards(const ShardOwner& owner,
                                                   const std::vector<SampledTask>& tasks,
                                                   const RuleNeeds& needs, const Round& round,
                                                   const std::vector<v1::Snapshot>& lives) {
  std::vector<v1::Shard> shards = TrainingShards(owner, tasks, round.generation);
  for (v1::Shard& shard : shards) {
    shard.set_outcomes_only(!needs.segments);
    if (needs.training_iterations > 0) shard.set_iterations(needs.training_iterations);
    if (!needs.paired_noise) continue;
    for (v1::Lifetime& lifetime : *shard.mutable_lifetimes())
      lifetime.set_noise_number(lifetime.number() - lifetime.number() % 2);
  }
  if (!round.iteration) return shards;
  const bool goes_on = *round.iteration > 0;
  if (goes_on && lives.size() != shards.size()) {
    return absl::DataLossError(absl::StrFormat("the checkpoint has %d running shards, expected %d",
                                               lives.size(), shards.size()));
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].set_first_iteration(*round.iteration);
    shards[i].set_iterations(1);
    shards[i].set_return_snapshot(!round.last);
    if (goes_on) *shards[i].mutable_snapshot() = lives[i];
  }
  return shards;
}

std::vector<LifetimeOutcome> JoinOutcomes(const std::vector<ShardResult>& results) {
  std::vector<LifetimeOutcome> all;
  for (const ShardResult& result : results) {
    std::vector<LifetimeOutcome> own = Outcomes(result.segments);
    all.insert(all.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  }
  return all;
}

LifetimeBatch MakeBatch(const std::vector<ShardResult>& results,
                        const std::vector<SampledTask>& tasks, int64_t steps_per_iteration) {
  LifetimeBatch batch;
  batch.task_indices = torch::full({static_cast<int64_t>(tasks.size())}, -1, torch::kInt64);
  for (size_t i = 0; i < tasks.size(); ++i) {
    batch.environments.push_back(tasks[i].environment);
    if (tasks[i].index) batch.task_indices[static_cast<int64_t>(i)] = int64_t{*tasks[i].index};
  }
  batch.steps_per_iteration = steps_per_iteration;
  std::vector<std::vector<learner::Segment>> lives;  // Tensors are shared, not copied.
  for (const ShardResult& result : results) {
    lives.push_back(result.segments);
    batch.shards.push_back(
        {.lifetimes = result.segments.back().successes.size(0), .gradient = result.outer_gradient});
  }
  batch.steps = learner::Stack(lives);
  return batch;
}

std::map<std::string, double> RoundResults(const Round& round,
                                           const std::vector<LifetimeOutcome>& outcomes,
                                           const std::vector<SampledTask>& tasks,
                                           const std::vector<ShardResult>& results) {
  std::vector<std::string> environments;
  for (const SampledTask& task : tasks) environments.push_back(task.environment);
  std::map<std::string, double> metrics = RoundMetrics(outcomes, environments);
  if (round.iteration) {
    // Its only segment is one inner iteration of a generation, not a whole life.
    std::map<std::string, double> named = {{"generation", round.generation},
                                           {"iteration", *round.iteration}};
    for (const auto& [name, value] : metrics) {
      if (name.starts_with("success_episode_")) continue;
      named[absl::StrReplaceAll(name, {{"seg0", "success"}})] = value;
    }
    metrics = std::move(named);
  }
  struct Sum {
    double value = 0, lifetimes = 0;
  };
  std::map<std::string, Sum> sums;
  for (const ShardResult& result : results) {
    const auto lifetimes = static_cast<double>(result.segments[0].successes.size(0));
    for (const auto& [name, value] : result.statistics) {
      sums[name].value += lifetimes * value;
      sums[name].lifetimes += lifetimes;
    }
  }
  for (const auto& [name, sum] : sums) metrics[name] = sum.value / sum.lifetimes;
  return metrics;
}

std::map<std::string, double> PhaseTimings(const std::vector<ShardResult>& results) {
  std::map<std::string, double> timings;
  for (const ShardResult& result : results) {
    timings["rollout_seconds"] += result.seconds.rollout();
    timings["policy_seconds"] += result.seconds.policy();
    timings["signal_seconds"] += result.seconds.signal();
    timings["update_seconds"] += result.seconds.update();
    timings["stalled_seconds"] += result.seconds.stalled();
  }
  return timings;
}

}  // namespace mentor::meta_learner
