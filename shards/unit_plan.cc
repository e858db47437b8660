#include "shards/unit_plan.h"

#include <algorithm>
#include <cstring>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "signals/stacked_success.h"

namespace mentor::shards {
namespace {

// True if the last observations of truncated episodes are wanted: no agent learns from
// deterministic episodes.
bool Bootstraps(const v1::Shard& shard, const CollectionPlan& plan) {
  return shard.spec().agent().bootstrap_on_truncation() && !plan.deterministic;
}

// The first steps of the parts of an agent's collection, relative to its beginning, and its end.
std::vector<uint32_t> PartBounds(const v1::Shard& shard, const v1::PolicyWeights& policy,
                                 uint32_t steps, uint32_t policy_steps,
                                 uint32_t steps_into_episode) {
  std::vector<uint32_t> bounds = {0};
  if (shard.shape().independent_episodes() && policy.network() != v1::POLICY_NETWORK_RECURRENT) {
    const uint32_t episode_steps = shard.shape().episode_steps();
    for (uint32_t border = episode_steps - steps_into_episode; border < steps;
         border += episode_steps) {
      if (border % policy_steps == 0 || border - bounds.back() >= kUnitStepsMin)
        bounds.push_back(border);
    }
  }
  bounds.push_back(steps);
  return bounds;
}

// Copies into *tensor, which is contiguous; flags become floats. The rollout server has checked
// types, shapes and numbers (ValidateResult). Only sizes are checked here, to protect memory: false
// when they differ.
bool CopyInto(const v1::Tensor& proto, torch::Tensor* tensor) {
  const std::string& bytes = proto.data();
  if (proto.dtype() == v1::Tensor::DTYPE_UINT8) {
    if (bytes.size() != static_cast<size_t>(tensor->numel())) return false;
    std::copy(bytes.begin(), bytes.end(), tensor->mutable_data_ptr<float>());
    return true;
  }
  if (bytes.size() != tensor->nbytes()) return false;
  if (!bytes.empty()) std::memcpy(tensor->mutable_data_ptr(), bytes.data(), bytes.size());
  return true;
}

absl::Status Misfit(const v1::Shard& shard, const v1::Unit& unit, const char* name,
                    const v1::Tensor& got, const torch::Tensor& want) {
  return absl::InvalidArgumentError(
      absl::StrFormat("shard %d, agent %d: %s has %d bytes for %d numbers", shard.shard_id(),
                      unit.id().agent(), name, got.data().size(), want.numel()));
}

int64_t CountOf(const v1::Tensor& flags) {
  const std::string& data = flags.data();
  return static_cast<int64_t>(data.size()) - std::count(data.begin(), data.end(), 0);
}

// The last observations of the episodes that ended in a unit, [K, D].
absl::StatusOr<torch::Tensor> LastObservations(const v1::Shard& shard, const v1::Unit& unit,
                                               const v1::Trajectory& trajectory) {
  const int64_t count = CountOf(trajectory.truncations()) + CountOf(trajectory.terminations());
  torch::Tensor last = torch::empty({count, shard.shape().observation_size()});
  if (!CopyInto(trajectory.final_observations(), &last))
    return Misfit(shard, unit, "final_observations", trajectory.final_observations(), last);
  return last;
}

// Room for the truncations of one agent. With episodes of M steps it is a function of T only, so it
// does not depend on who shares the shard.
int64_t GreatestTruncations(const v1::Shard& shard, const CollectionPlan& plan,
                            const std::vector<v1::Unit>& units,
                            const std::vector<v1::Result>& results) {
  std::vector<int64_t> counts(shard.lifetimes_size(), 0);
  for (size_t i = 0; i < units.size(); ++i)
    counts[units[i].id().agent()] += CountOf(results[i].trajectory().truncations());
  return std::max(int64_t{plan.steps / shard.shape().episode_steps() + 1},
                  *std::max_element(counts.begin(), counts.end()));
}

// Writes the trajectories of an agent's units one after the other into the rows of a segment.
class RowsOfUnits {
 public:
  // `all` keeps the last observations of all episodes, not only of truncated ones.
  RowsOfUnits(const v1::Shard& shard, bool all, agents::Segment* segment)
      : shard_(shard),
        all_(all),
        segment_(*segment),
        filled_(shard.lifetimes_size(), 0),
        kept_(shard.lifetimes_size(), 0),
        dones_(torch::empty_like(segment->prev_done)),
        truncated_(segment->truncated.defined() ? segment->truncated : torch::empty_like(dones_)) {}

  absl::Status Append(const v1::Unit& unit, const v1::Trajectory& trajectory) {
    const int64_t agent = unit.id().agent(), steps = unit.steps(), begin = filled_[agent];
    MENTOR_CHECK(begin + steps <= dones_.size(1));
    const auto rows = [&](const torch::Tensor& tensor) {
      return tensor[agent].narrow(0, begin, steps);
    };
    struct {
      const char* name;
      const v1::Tensor& from;
      torch::Tensor to;
    } parts[] = {
        {"observations", trajectory.observations(), rows(segment_.observations)},
        {"actions", trajectory.actions(), rows(segment_.actions)},
        {"log_probs", trajectory.log_probs(), rows(segment_.log_probs)},
        {"rewards", trajectory.rewards(), rows(segment_.shaped_rewards)},
        {"successes", trajectory.successes(), rows(segment_.successes)},
        {"terminations", trajectory.terminations(), rows(dones_)},
        {"truncations", trajectory.truncations(), rows(truncated_)},
        {"next_observation", trajectory.next_observation(), segment_.next_observations[agent]},
    };
    for (auto& [name, from, to] : parts) {
      if (!CopyInto(from, &to)) return Misfit(shard_, unit, name, from, to);
    }
    if (segment_.labels.defined()) {
      torch::Tensor to = rows(segment_.labels);
      if (!CopyInto(trajectory.labels(), &to))
        return Misfit(shard_, unit, "labels", trajectory.labels(), to);
    }
    rows(dones_).clamp_max_(1).add_(rows(truncated_));  // A step that failed is an end like others.
    filled_[agent] = begin + steps;
    if (!segment_.final_observations.defined()) return absl::OkStatus();
    MENTOR_ASSIGN_OR_RETURN(torch::Tensor last, LastObservations(shard_, unit, trajectory));
    if (!all_) {
      const torch::Tensor cut = rows(truncated_).masked_select(rows(dones_).ne(0)).nonzero();
      last = last.index_select(0, cut.flatten());
    }
    const torch::Tensor to = segment_.final_observations[agent];
    if (kept_[agent] + last.size(0) > to.size(0)) return OtherEpisodes(agent);
    to.narrow(0, kept_[agent], last.size(0)).copy_(last);
    kept_[agent] += last.size(0);
    return absl::OkStatus();
  }

  // Checks that each agent ended as many episodes of M steps as planned.
  absl::Status CheckEpisodes() const {
    for (size_t agent = 0; all_ && agent < kept_.size(); ++agent) {
      if (kept_[agent] != segment_.final_observations.size(1))
        return OtherEpisodes(static_cast<int64_t>(agent));
    }
    return absl::OkStatus();
  }

  // [S, T], 1 where an episode ended. Every row is filled.
  const torch::Tensor& dones() const {
    for (const int64_t steps : filled_) MENTOR_CHECK(steps == dones_.size(1));
    return dones_;
  }

 private:
  absl::Status OtherEpisodes(int64_t agent) const {
    return absl::InvalidArgumentError(
        absl::StrFormat("shard %d, agent %d: its episodes do not all have %d steps",
                        shard_.shard_id(), agent, shard_.shape().episode_steps()));
  }

  const v1::Shard& shard_;
  const bool all_;
  agents::Segment& segment_;
  std::vector<int64_t> filled_, kept_;  // [S], steps and last observations so far
  torch::Tensor dones_, truncated_;     // [S, T]
};

// Deterministic episodes abandon the open episode.
void BeginAfresh(v1::EpisodeCursor* cursor) {
  if (cursor->step() > 0) cursor->set_episode(cursor->episode() + 1);
  cursor->set_step(0);
  cursor->set_success(false);
  cursor->set_prev_done(true);
  cursor->clear_state();
  cursor->clear_shaped_return();
}

// Sets the segment's first episode state and its success signals. Returns the state at its end.
signals::SuccessState BeginFrom(const std::vector<v1::EpisodeCursor>& cursors,
                                const torch::Tensor& dones, int64_t episode_steps,
                                agents::Segment* segment) {
  const int64_t num_agents = dones.size(0), num_steps = dones.size(1);
  const auto done = dones.accessor<float, 2>();
  auto prev_done = segment->prev_done.accessor<float, 2>();
  signals::SuccessState success = signals::InitialSuccessState(num_agents);
  for (int64_t agent = 0; agent < num_agents; ++agent) {
    const v1::EpisodeCursor& cursor = cursors[agent];
    segment->open_steps[agent] = static_cast<float>(cursor.step());
    segment->open_returns[agent] = cursor.shaped_return();
    segment->open_successes[agent] = cursor.success() ? 1.0F : 0.0F;
    for (int64_t t = 0; t < num_steps; ++t) {
      prev_done[agent][t] = (t == 0 ? cursor.prev_done() : done[agent][t - 1] != 0) ? 1.0F : 0.0F;
    }
    success.episode_steps[agent] = static_cast<int64_t>(cursor.step());
    success.succeeded[agent] = static_cast<int64_t>(cursor.success());
  }
  segment->success_signals =
      signals::SuccessSignals(segment->successes, segment->prev_done, episode_steps, &success);
  return success;
}

// Moves the cursors to the segment's end.
void Advance(const torch::Tensor& dones, const signals::SuccessState& success,
             agents::Segment* segment, std::vector<v1::EpisodeCursor>* cursors) {
  const int64_t num_agents = dones.size(0), num_steps = dones.size(1);
  const auto done = dones.accessor<float, 2>();
  const auto prev_done = segment->prev_done.accessor<float, 2>();
  const auto rewards = segment->shaped_rewards.accessor<double, 2>();
  for (int64_t agent = 0; agent < num_agents; ++agent) {
    v1::EpisodeCursor& cursor = (*cursors)[agent];
    double shaped_return = cursor.shaped_return();
    for (int64_t t = 0; t < num_steps; ++t) {
      cursor.set_episode(cursor.episode() + (done[agent][t] != 0 ? 1 : 0));
      if (prev_done[agent][t] != 0) shaped_return = 0;
      shaped_return += rewards[agent][t];
    }
    const bool ended = done[agent][num_steps - 1] != 0;
    cursor.set_prev_done(ended);
    cursor.set_step(ended ? 0
                          : static_cast<uint32_t>(success.episode_steps[agent].item<int64_t>()));
    cursor.set_success(!ended && success.succeeded[agent].item<int64_t>() != 0);
    cursor.set_shaped_return(shaped_return);
    // A fresh episode begins with its reset, on any actor.
    if (ended) {
      cursor.clear_state();
      cursor.clear_shaped_return();
    }
    segment->last_done[agent] = ended ? 1.0F : 0.0F;
  }
}

}  // namespace

std::vector<v1::EpisodeCursor> FirstCursors(int64_t num_agents) {
  return std::vector<v1::EpisodeCursor>(num_agents);
}

std::vector<v1::Unit> PlanUnits(const v1::Shard& shard, uint64_t unit_shard,
                                const CollectionPlan& plan,
                                const std::vector<v1::EpisodeCursor>& cursors) {
  const uint32_t episode_steps = shard.shape().episode_steps();
  const size_t policies = plan.policies.size() / shard.lifetimes_size();
  MENTOR_CHECK(policies >= 1 && plan.policies.size() == policies * shard.lifetimes_size() &&
               plan.steps % policies == 0);
  const uint32_t policy_steps = plan.steps / static_cast<uint32_t>(policies);
  std::vector<v1::Unit> units;
  for (int agent = 0; agent < shard.lifetimes_size(); ++agent) {
    const v1::EpisodeCursor& cursor = cursors[agent];
    // Deterministic episodes begin afresh.
    const uint32_t into_episode = plan.deterministic ? 0 : cursor.step();
    const uint32_t first_episode =
        cursor.episode() + (plan.deterministic && cursor.step() > 0 ? 1 : 0);
    const std::vector<uint32_t> bounds =
        PartBounds(shard, plan.policies[agent * policies], plan.steps, policy_steps, into_episode);
    for (uint32_t part = 0; part + 1 < bounds.size(); ++part) {
      const size_t policy = agent * policies + bounds[part] / policy_steps;
      MENTOR_CHECK((bounds[part + 1] - 1) / policy_steps == bounds[part] / policy_steps);
      v1::Unit unit;
      unit.mutable_id()->set_shard(unit_shard);
      unit.mutable_id()->set_iteration(plan.number);
      unit.mutable_id()->set_agent(static_cast<uint32_t>(agent));
      unit.mutable_id()->set_part(part);
      unit.set_attempt(1);
      *unit.mutable_share() = shard.share();
      *unit.mutable_policy() = plan.policies[policy];
      *unit.mutable_task() = shard.lifetimes(agent).task();
      unit.mutable_random()->set_seed(shard.spec().seed());
      unit.mutable_random()->set_lifetime(agents::NoiseNumber(shard.lifetimes(agent)));
      unit.mutable_random()->set_iteration(plan.number);
      unit.mutable_random()->set_phase(shard.phase());
      unit.set_first_step(plan.number * shard.spec().lifetime().steps_per_iteration() +
                          bounds[part]);
      unit.set_steps(bounds[part + 1] - bounds[part]);
      // Parts begin at borders of episodes of M steps, so this counts the episodes before the part.
      unit.set_first_episode(first_episode + (into_episode + bounds[part]) / episode_steps);
      if (part == 0 && !plan.deterministic) unit.set_state(cursor.state());
      unit.set_deterministic(plan.deterministic || plan.mean_actions);
      unit.set_return_state(part + 2 == bounds.size() && !plan.deterministic);
      unit.set_return_final_observations(Bootstraps(shard, plan) || plan.all_final_observations);
      units.push_back(std::move(unit));
    }
  }
  return units;
}

absl::StatusOr<agents::Segment> AssembleSegment(const v1::Shard& shard, const CollectionPlan& plan,
                                                const std::vector<v1::Unit>& units,
                                                std::vector<v1::Result> results,
                                                std::vector<v1::EpisodeCursor>* cursors) {
  MENTOR_CHECK(units.size() == results.size());
  const bool bootstraps = Bootstraps(shard, plan), all = plan.all_final_observations;
  int64_t finals = 0;
  if (bootstraps) finals = GreatestTruncations(shard, plan, units, results);
  if (all) finals = plan.steps / shard.shape().episode_steps();
  agents::Segment segment =
      agents::ZeroSegment({shard.lifetimes_size(), plan.steps, shard.shape().observation_size(),
                           shard.shape().action_size(), finals},
                          torch::TensorOptions(), [&](const agents::SegmentField& field) {
                            if (field.source == agents::SegmentField::Source::kLabels)
                              return plan.labels;
                            if (field.member == &agents::Segment::final_observations)
                              return bootstraps || all;
                            return field.source == agents::SegmentField::Source::kActor &&
                                   (bootstraps || !field.with_truncations);
                          });

  RowsOfUnits rows(shard, all, &segment);
  for (size_t i = 0; i < units.size(); ++i) {
    MENTOR_RETURN_IF_ERROR(rows.Append(units[i], results[i].trajectory()));
    results[i].clear_trajectory();  // Frees its memory while the others are copied.
    if (units[i].return_state()) {
      (*cursors)[units[i].id().agent()].set_state(std::move(*results[i].mutable_final_state()));
    }
  }
  MENTOR_RETURN_IF_ERROR(rows.CheckEpisodes());
  if (plan.deterministic) {
    for (v1::EpisodeCursor& cursor : *cursors) BeginAfresh(&cursor);
  }
  const signals::SuccessState success =
      BeginFrom(*cursors, rows.dones(), shard.shape().episode_steps(), &segment);
  Advance(rows.dones(), success, &segment, cursors);
  return segment;
}

}  // namespace mentor::shards
