#include "agents/segment.h"

#include <algorithm>
#include <array>

#include "common/check.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::agents {
namespace {

using Axes = SegmentField::Axes;
using Sent = SegmentField::Sent;
using Source = SegmentField::Source;

constexpr std::array kFields = {
    SegmentField{"observations", &Segment::observations, Axes::kStepObservations, Source::kActor,
                 Sent::kTraining, /*seen=*/0},
    SegmentField{"actions", &Segment::actions, Axes::kStepActions, Source::kActor, Sent::kTraining,
                 /*seen=*/1},
    SegmentField{"log_probs", &Segment::log_probs, Axes::kSteps, Source::kActor, Sent::kTraining,
                 /*seen=*/2},
    SegmentField{"shaped_rewards", &Segment::shaped_rewards, Axes::kSteps, Source::kActor,
                 Sent::kAlways, /*seen=*/6, torch::kFloat64},
    SegmentField{"success_signals", &Segment::success_signals, Axes::kSteps, Source::kActor,
                 Sent::kAlways, /*seen=*/5},
    SegmentField{"successes", &Segment::successes, Axes::kSteps, Source::kActor, Sent::kAlways,
                 /*seen=*/4},
    SegmentField{"prev_done", &Segment::prev_done, Axes::kSteps, Source::kActor, Sent::kAlways,
                 /*seen=*/3},
    SegmentField{"last_done", &Segment::last_done, Axes::kAgents, Source::kActor, Sent::kAlways,
                 /*seen=*/8},
    SegmentField{"next_observations", &Segment::next_observations, Axes::kAgentObservations,
                 Source::kActor, Sent::kTraining, /*seen=*/9},
    SegmentField{"open_steps", &Segment::open_steps, Axes::kAgentsBefore, Source::kActor,
                 Sent::kAlways},
    SegmentField{"open_returns", &Segment::open_returns, Axes::kAgentsBefore, Source::kActor,
                 Sent::kAlways, /*seen=*/-1, torch::kFloat64},
    SegmentField{"open_successes", &Segment::open_successes, Axes::kAgentsBefore, Source::kActor,
                 Sent::kAlways},
    SegmentField{"labels", &Segment::labels, Axes::kStepActions, Source::kLabels, Sent::kTraining},
    SegmentField{"values", &Segment::values, Axes::kSteps, Source::kCritic, Sent::kNever,
                 /*seen=*/7},
    SegmentField{"last_values", &Segment::last_values, Axes::kAgents, Source::kCritic, Sent::kNever,
                 /*seen=*/10},
    SegmentField{"truncated", &Segment::truncated, Axes::kSteps, Source::kActor, Sent::kNever,
                 /*seen=*/11, torch::kFloat32, /*with_truncations=*/true},
    SegmentField{"final_observations", &Segment::final_observations, Axes::kTruncationObservations,
                 Source::kActor, Sent::kTraining, /*seen=*/-1, torch::kFloat32,
                 /*with_truncations=*/true},
    SegmentField{"final_values", &Segment::final_values, Axes::kSteps, Source::kCritic,
                 Sent::kNever, /*seen=*/12, torch::kFloat32, /*with_truncations=*/true},
    SegmentField{"signals", &Segment::signals, Axes::kSteps, Source::kSignal, Sent::kAlways},
    SegmentField{"signal_log_probs", &Segment::signal_log_probs, Axes::kSteps, Source::kSignal,
                 Sent::kTraining},
    SegmentField{"signal_values", &Segment::signal_values, Axes::kSteps, Source::kSignal,
                 Sent::kTraining},
};
static_assert(sizeof(Segment) == kFields.size() * sizeof(torch::Tensor),
              "every tensor of a segment has its line in the table");

// Undefined unless all segments have it.
torch::Tensor Cat(const std::vector<Segment>& segments, SegmentMember member, int64_t axis) {
  std::vector<torch::Tensor> parts;
  for (const Segment& segment : segments) {
    if (!(segment.*member).defined()) return {};
    parts.push_back(segment.*member);
  }
  return torch::cat(parts, axis);
}

}  // namespace

std::span<const SegmentField> SegmentFields() {
  return kFields;
}

const SegmentField& FieldOf(SegmentMember member) {
  const auto found = std::find_if(kFields.begin(), kFields.end(), [&](const SegmentField& field) {
    return field.member == member;
  });
  MENTOR_CHECK(found != kFields.end());
  return *found;
}

std::vector<int64_t> ShapeOf(const SegmentField& field, const SegmentSizes& sizes) {
  switch (field.axes) {
    case Axes::kSteps:
      return {sizes.agents, sizes.steps};
    case Axes::kStepObservations:
      return {sizes.agents, sizes.steps, sizes.observation};
    case Axes::kStepActions:
      return {sizes.agents, sizes.steps, sizes.action};
    case Axes::kAgents:
    case Axes::kAgentsBefore:
      return {sizes.agents};
    case Axes::kAgentObservations:
      return {sizes.agents, sizes.observation};
    case Axes::kTruncationObservations:
      return {sizes.agents, sizes.truncations, sizes.observation};
  }
  return {};
}

torch::Tensor Ends(const Segment& segment) {
  const torch::Tensor& begins = segment.prev_done;
  return torch::cat({begins.narrow(1, 1, begins.size(1) - 1), segment.last_done.unsqueeze(1)}, 1);
}

Segment ZeroSegment(const SegmentSizes& sizes, const torch::TensorOptions& options,
                    absl::FunctionRef<bool(const SegmentField&)> choose) {
  Segment segment;
  for (const SegmentField& field : kFields) {
    if (choose(field))
      segment.*field.member = torch::zeros(ShapeOf(field, sizes), options.dtype(field.dtype));
  }
  return segment;
}

Segment Join(const std::vector<Segment>& segments) {
  Segment joined = segments.back();
  for (const SegmentField& field : kFields) {
    if (field.has_steps()) joined.*field.member = Cat(segments, field.member, 1);
    if (field.axes == Axes::kAgentsBefore) joined.*field.member = segments.front().*field.member;
    if (field.axes == Axes::kTruncationObservations) joined.*field.member = torch::Tensor();
  }
  return joined;
}

Segment Stack(const std::vector<std::vector<Segment>>& shards) {
  Segment stacked;
  for (const SegmentField& field : kFields) {
    // Sent ones belong to all episodes, so they join like steps.
    const bool joined = field.has_steps() || field.axes == Axes::kTruncationObservations;
    std::vector<std::vector<torch::Tensor>> parts;  // Parts of each shard, to be joined.
    int64_t agents = 0, steps = 0;
    bool all = true;
    for (const std::vector<Segment>& segments : shards) {
      parts.emplace_back();
      int64_t shard_steps = 0;
      for (const Segment& segment : segments) {
        const torch::Tensor& tensor = segment.*field.member;
        all = all && tensor.defined();
        if (!all) break;
        if (field.axes == Axes::kAgentsBefore && !parts.back().empty()) continue;
        if (!joined) parts.back().clear();  // Only the last one's counts.
        parts.back().push_back(tensor);
        if (joined) shard_steps += tensor.size(1);
      }
      if (!all) break;
      MENTOR_CHECK(!parts.back().empty() && (steps == 0 || steps == shard_steps));
      agents += parts.back().back().size(0);
      steps = shard_steps;
    }
    if (!all || parts.empty()) continue;
    std::vector<int64_t> shape = parts[0][0].sizes().vec();
    shape[0] = agents;
    if (joined) shape[1] = steps;
    torch::Tensor whole = torch::empty(shape, parts[0][0].options());
    int64_t agent = 0;
    for (const std::vector<torch::Tensor>& of_shard : parts) {
      torch::Tensor rows = whole.narrow(0, agent, of_shard[0].size(0));
      int64_t step = 0;
      for (const torch::Tensor& part : of_shard) {
        if (!joined) {
          rows.copy_(part);
          continue;
        }
        rows.narrow(1, step, part.size(1)).copy_(part);
        step += part.size(1);
      }
      agent += rows.size(0);
    }
    stacked.*field.member = whole;
  }
  return stacked;
}

Segment SomeLifetimes(const Segment& segment, int64_t first, int64_t count) {
  Segment some;
  for (const SegmentField& field : kFields) {
    const torch::Tensor& tensor = segment.*field.member;
    if (field.seen >= 0 && tensor.defined()) some.*field.member = tensor.narrow(0, first, count);
  }
  return some;
}

SegmentSizes SizesOf(const v1::Shard& shard, uint32_t iteration) {
  return {.agents = shard.lifetimes_size(),
          .steps = StepsOfIteration(shard, iteration),
          .observation = shard.shape().observation_size(),
          .action = shard.shape().action_size()};
}

uint32_t NoiseNumber(const v1::Lifetime& lifetime) {
  return lifetime.has_noise_number() ? lifetime.noise_number() : lifetime.number();
}

int64_t StepsOfIteration(const v1::Shard& shard, uint32_t iteration) {
  if (iteration < shard.spec().lifetime().iterations())
    return int64_t{shard.collections()} * shard.spec().lifetime().steps_per_iteration();
  return int64_t{shard.deterministic_episodes()} * shard.shape().episode_steps();
}

uint64_t StepsOf(const v1::Shard& shard) {
  return uint64_t{shard.iterations()} * shard.collections() *
         shard.spec().lifetime().steps_per_iteration() *
         static_cast<uint64_t>(shard.lifetimes_size());
}

uint32_t IterationsOf(const v1::Shard& shard) {
  return shard.iterations() + (shard.deterministic_episodes() > 0 ? 1 : 0);
}

std::vector<std::vector<EndedEpisode>> EndedEpisodes(const Segment& segment) {
  const auto rewards = segment.shaped_rewards.accessor<double, 2>();
  const auto successes = segment.successes.accessor<float, 2>();
  const auto prev_done = segment.prev_done.accessor<float, 2>();
  const auto last_done = segment.last_done.accessor<float, 1>();
  std::vector<std::vector<EndedEpisode>> all(rewards.size(0));
  for (int64_t s = 0; s < rewards.size(0); ++s) {
    EndedEpisode open;
    if (segment.open_steps.defined()) {
      open = {.shaped_return = segment.open_returns.const_data_ptr<double>()[s],
              .steps = static_cast<int64_t>(segment.open_steps.const_data_ptr<float>()[s]),
              .success = segment.open_successes.const_data_ptr<float>()[s] != 0};
    }
    const auto end = [&] {
      all[s].push_back(open);
      open = {};
    };
    for (int64_t t = 0; t < rewards.size(1); ++t) {
      // An episode that ended before the first step belongs to the segment before.
      if (prev_done[s][t] != 0 && t > 0) end();
      open.shaped_return += rewards[s][t];
      ++open.steps;
      open.success |= successes[s][t] != 0;
    }
    if (last_done[s] != 0) end();
  }
  return all;
}

}  // namespace mentor::agents
