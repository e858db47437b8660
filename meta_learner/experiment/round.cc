#include "meta_learner/experiment/round.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "agents/segment.h"
#include "common/check.h"

namespace mentor::meta_learner {

namespace {

// A row of a tensor that will replace the row of another lifetime.
struct MovedRow {
  v1::Tensor* to;
  size_t offset;
  std::string bytes;
};

// Takes row `from_row` of a tensor of `from_rows` rows for row `to_row` of another of the same
// form.
absl::StatusOr<MovedRow> TakeRow(const std::string& name, const v1::Tensor* from, int from_rows,
                                 int64_t from_row, int to_rows, int64_t to_row, v1::Tensor* to) {
  const bool fits =
      from != nullptr && from->dtype() == to->dtype() && from->shape_size() == to->shape_size() &&
      to->shape_size() > 0 && from->shape(0) == from_rows && to->shape(0) == to_rows &&
      std::equal(from->shape().begin() + 1, from->shape().end(), to->shape().begin() + 1);
  if (!fits) {
    return absl::InternalError(
        absl::StrFormat("tensor '%s' of two shards differs in more than its rows", name));
  }
  const size_t bytes = to->data().size() / static_cast<size_t>(to_rows);
  return MovedRow{.to = to,
                  .offset = static_cast<size_t>(to_row) * bytes,
                  .bytes = from->data().substr(static_cast<size_t>(from_row) * bytes, bytes)};
}

}  // namespace

Round RoundOf(const methods::RuleNeeds& needs, const v1::ExperimentSpec& spec,
              uint32_t outer_step) {
  if (!needs.decisions_inside_lifetime) return {.generation = outer_step};
  const uint32_t iterations = spec.lifetime().iterations();
  const uint32_t iteration = outer_step % iterations;
  return {.generation = outer_step / iterations,
          .iteration = iteration,
          .last = iteration + 1 == iterations};
}

absl::StatusOr<std::vector<v1::Shard>> RoundShards(const ShardOwner& owner,
                                                   const std::vector<SampledTask>& tasks,
                                                   const methods::RuleNeeds& needs,
                                                   const Round& round,
                                                   const std::vector<v1::Snapshot>& lives) {
  std::vector<v1::Shard> shards = TrainingShards(owner, tasks, round.generation);
  for (v1::Shard& shard : shards) {
    shard.set_outcomes_only(!needs.segments);
    if (needs.training_iterations > 0) shard.set_iterations(needs.training_iterations);
    if (!needs.pairs()) continue;
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

absl::Status TakeOver(const std::vector<uint32_t>& parents, std::vector<v1::Snapshot>* lives) {
  // For each lifetime in their order: its snapshot, and its row there.
  std::vector<std::pair<size_t, int64_t>> places;
  for (size_t shard = 0; shard < lives->size(); ++shard) {
    for (int64_t row = 0; row < (*lives)[shard].cursors_size(); ++row)
      places.emplace_back(shard, row);
  }
  if (parents.size() != places.size()) {
    return absl::InternalError(
        absl::StrFormat("%d parents for %d running lifetimes", parents.size(), places.size()));
  }
  // Reads all rows before it writes any: a parent may itself continue as another.
  std::vector<MovedRow> moved;
  for (size_t i = 0; i < places.size(); ++i) {
    if (parents[i] == i) continue;
    if (parents[i] >= places.size())
      return absl::InternalError(absl::StrFormat("lifetime %d has no parent %d", i, parents[i]));
    const auto [shard, row] = places[i];
    const auto [parent_shard, parent_row] = places[parents[i]];
    v1::Snapshot& own = (*lives)[shard];
    for (int k = 0; k < own.tensors_size(); ++k) {
      v1::NamedTensor& to = *own.mutable_tensors(k);
      if (!absl::StartsWith(to.name(), "agents.") && to.name() != "observations") continue;
      const v1::Snapshot& source = (*lives)[parent_shard];
      const v1::Tensor* from = nullptr;
      for (const v1::NamedTensor& tensor : source.tensors()) {
        if (tensor.name() == to.name()) from = &tensor.tensor();
      }
      MENTOR_ASSIGN_OR_RETURN(MovedRow taken,
                              TakeRow(to.name(), from, source.cursors_size(), parent_row,
                                      own.cursors_size(), row, to.mutable_tensor()));
      moved.push_back(std::move(taken));
    }
  }
  for (const MovedRow& taken : moved)
    taken.to->mutable_data()->replace(taken.offset, taken.bytes.size(), taken.bytes);
  return absl::OkStatus();
}

std::vector<LifetimeOutcome> JoinOutcomes(const std::vector<ShardResult>& results) {
  std::vector<LifetimeOutcome> all;
  for (const ShardResult& result : results) {
    std::vector<LifetimeOutcome> own = Outcomes(result.segments);
    all.insert(all.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  }
  return all;
}

methods::LifetimeBatch MakeBatch(const std::vector<ShardResult>& results,
                                 const std::vector<SampledTask>& tasks,
                                 int64_t steps_per_iteration) {
  methods::LifetimeBatch batch;
  std::vector<int64_t> indices;
  for (const SampledTask& task : tasks) {
    batch.environments.push_back(task.environment);
    indices.push_back(task.index ? int64_t{*task.index} : -1);
  }
  batch.task_indices = torch::tensor(indices, torch::kInt64);
  batch.steps_per_iteration = steps_per_iteration;
  std::vector<std::vector<agents::Segment>> lives;  // Tensors are shared, not copied.
  for (const ShardResult& result : results) {
    lives.push_back(result.segments);
    batch.shards.push_back(
        {.lifetimes = result.segments.back().successes.size(0), .gradient = result.outer_gradient});
  }
  batch.steps = agents::Stack(lives);
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

std::vector<Achievement> LastAchievements(const std::vector<LifetimeOutcome>& outcomes,
                                          const std::vector<ShardResult>& results) {
  std::vector<Achievement> all;
  for (const ShardResult& result : results) {
    const torch::Tensor rewards =
        result.segments.back().shaped_rewards.to(torch::kFloat64).contiguous();
    const int64_t steps = rewards.size(1);
    for (int64_t s = 0; s < rewards.size(0); ++s) {
      const LifetimeOutcome& outcome = outcomes[all.size()];
      Achievement& one = all.emplace_back();
      if (const int episodes = outcome.segment_episodes.back(); episodes > 0) {
        double successes = 0;
        for (auto last = outcome.episode_success.end() - episodes;
             last != outcome.episode_success.end(); ++last)
          successes += *last;
        one.success = successes / episodes;
      }
      const double* of = rewards.const_data_ptr<double>() + s * steps;
      for (int64_t t = 0; t < steps; ++t) one.shaped_reward += of[t];
      one.shaped_reward /= static_cast<double>(steps);
    }
  }
  return all;
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
