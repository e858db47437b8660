// One inner iteration of all agents of a shard as tensors, and the one table of its fields.
// Everything done with all fields follows from the table. S agents, T steps, D observation, A
// action. Pure functions; threads may share.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include <absl/functional/function_ref.h>

namespace mentor::v1 {
class Lifetime;
class Shard;
}  // namespace mentor::v1

namespace mentor::agents {

struct Segment {
  // From the actors (float32 unless said).
  torch::Tensor observations = {};     // [S, T, D]: o_t, before the step
  torch::Tensor actions = {};          // [S, T, A]: unclipped
  torch::Tensor log_probs = {};        // [S, T]: log-density of the actions that the actor computed
  torch::Tensor shaped_rewards = {};   // [S, T] float64: raw
  torch::Tensor success_signals = {};  // [S, T]: methods/black_box/README.md#success-signal
  torch::Tensor successes = {};        // [S, T]: 1 where the environment reported success after t
  // [S, T]: 1 where the episode ended with step t-1; 0 at the lifetime's first step.
  torch::Tensor prev_done = {};
  torch::Tensor last_done = {};          // [S]: the same after the last step
  torch::Tensor next_observations = {};  // [S, D]: after the last step
  // [S]: the episode that is open before the first step. Its steps, sum of shaped rewards (float64)
  // and success so far; 0 where an episode begins with that step (episodes.h).
  torch::Tensor open_steps = {}, open_returns = {}, open_successes = {};

  // On the learner only: outputs of the agents' value network when the segment was collected.
  torch::Tensor values = {};       // [S, T]
  torch::Tensor last_values = {};  // [S]: of next_observations

  // Right actions, where the environment knows them and the inner loop asks.
  torch::Tensor labels = {};  // [S, T, A]

  // With agent.bootstrap_on_truncation only: episodes that a limit cut short (gae.h).
  torch::Tensor truncated = {};  // [S, T]: 1 where it did after step t
  // [S, K, D], K at least an agent's truncations: the last observation of each, then zeros. With
  // InnerLoopEntry::all_final_observations it holds all episodes, K = T / M.
  torch::Tensor final_observations = {};
  // [S, T]: the critic's values of these, at their steps; 0 elsewhere
  torch::Tensor final_values = {};

  // From the signal network, when there is one.
  torch::Tensor signals = {};           // [S, T]: y_t as used
  torch::Tensor signal_log_probs = {};  // [S, T]: undefined when the mean was used
  torch::Tensor signal_values = {};     // [S, T]: undefined when the mean was used
};

using SegmentMember = torch::Tensor Segment::*;

struct SegmentField {
  enum class Axes {
    kSteps,
    kStepObservations,
    kStepActions,
    kAgents,
    kAgentsBefore,  // Before the first step: joined segments take the first one's.
    kAgentObservations,
    kTruncationObservations
  };
  // The origin of a field: always from actors; others exist where there are labels, a critic or a
  // signal network.
  enum class Source { kActor, kLabels, kCritic, kSignal };
  // When a field is sent to the meta-learner: never, for training, or for evaluations too.
  enum class Sent { kNever, kTraining, kAlways };

  const char* name;  // On the wire, and in messages.
  SegmentMember member;
  Axes axes;
  Source source;
  Sent sent;
  // Its number among the fields that a signal network may see, used by snapshots; -1: none.
  int seen = -1;
  torch::Dtype dtype = torch::kFloat32;
  bool with_truncations = false;  // Only with agent.bootstrap_on_truncation.

  bool has_steps() const {
    return axes == Axes::kSteps || axes == Axes::kStepObservations || axes == Axes::kStepActions;
  }
};

struct SegmentSizes {
  int64_t agents = 0, steps = 0, observation = 0, action = 0, truncations = 0;
};

// In the order of the wire, and of its hash.
std::span<const SegmentField> SegmentFields();
const SegmentField& FieldOf(SegmentMember member);
std::vector<int64_t> ShapeOf(const SegmentField& field, const SegmentSizes& sizes);

// [S, T]: 1 where the episode ended with step t.
torch::Tensor Ends(const Segment& segment);
// New tensors of zeros for the fields that `choose` takes.
Segment ZeroSegment(const SegmentSizes& sizes, const torch::TensorOptions& options,
                    absl::FunctionRef<bool(const SegmentField&)> choose);
// Joins consecutive segments along the steps; last_done and next_observations are the last one's. A
// tensor that one segment lacks is undefined. So are the final observations, which updates have
// used.
Segment Join(const std::vector<Segment>& segments);
// Joins different lifetimes, the segments of each shard along the steps, with one copy of each
// number. Includes final observations: sent ones belong to all episodes.
Segment Stack(const std::vector<std::vector<Segment>>& shards);
// The fields that a signal network may see, for agents first .. first + count. Views.
Segment SomeLifetimes(const Segment& segment, int64_t first, int64_t count);

// Sizes of iteration `iteration` of a shard.
SegmentSizes SizesOf(const v1::Shard& shard, uint32_t iteration);
// The number that keys a lifetime's randomness, except what varies between its copies on purpose.
uint32_t NoiseNumber(const v1::Lifetime& lifetime);
// Steps of an iteration of this shard: T for each collection. The iteration after the last holds
// all deterministic episodes.
int64_t StepsOfIteration(const v1::Shard& shard, uint32_t iteration);
// Environment steps of all its lifetimes, without deterministic episodes.
uint64_t StepsOf(const v1::Shard& shard);
// Iterations that a shard sends; the deterministic episodes count as one more.
uint32_t IterationsOf(const v1::Shard& shard);

// A whole episode: it includes what was achieved before the segment.
struct EndedEpisode {
  double shaped_return = 0;  // Sum of its shaped rewards.
  int64_t steps = 0;
  bool success = false;  // Any of its steps reported success.
};

// Episodes that ended in the segment, in their order, for each agent. Tensors lie on the CPU. If
// the segment does not say which episodes were open before it, all its episodes begin in it.
std::vector<std::vector<EndedEpisode>> EndedEpisodes(const Segment& segment);

}  // namespace mentor::agents
