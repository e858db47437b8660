// Functions that several inner loops share.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "agents/agent_shape.h"
#include "agents/observation_normaliser.h"
#include "agents/worker_pool.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"

namespace mentor::methods {

// CPU time since construction of this thread, and of pools on its behalf.
class CpuTimer {
 public:
  CpuTimer();
  double Seconds() const;

 private:
  const double start_;
};

// Networks of agents of this spec, with a critic.
agents::AgentShape ShapeOfAgents(const v1::AgentSpec& spec,
                                 const v1::EnvironmentShape& environment);
// Networks of a shard's agents, with a critic unless the signal is their advantage.
agents::AgentShape ShapeOfAgents(const v1::Shard& shard);
// The same, with a critic in any role.
agents::AgentShape ShapeWithCritic(const InnerLoopContext& context);
// InnerLoopEntry::unread of loops whose signal may be the advantage: agents have no critic then.
std::vector<std::string> UnreadWithoutCritic(const InnerLoopContext& context);
// New agents of the shard's lifetimes.
agents::AgentBatch FreshAgents(const InnerLoopContext& context, const agents::AgentShape& shape);
// The normaliser that the spec asks for.
agents::ObservationNormaliser NormaliserOf(const InnerLoopContext& context);
// How the shard's network sees observations. As they are, unless it asks for normalised ones: then
// divided by their root mean square in the agent's life so far
// (methods/black_box/README.md#normalised-observations). One thread.
class NetworkSight {
 public:
  explicit NetworkSight(const InnerLoopContext& context);
  // Counts the segment, and returns it as the network sees it. Call it once for each segment.
  agents::Segment Show(const agents::Segment& segment);
  void AddTo(StateFields* fields);
  // Numbers of four bytes for each step, beside the segment's own; a snapshot has no more in all.
  int64_t NumbersPerStep() const;

 private:
  const bool enabled_;
  const int64_t size_;  // D
  agents::ObservationNormaliser lived_;
};

// [S, T] float64: the rewards that a baseline's source names, except those of a potential.
torch::Tensor BaselineRewards(const agents::Segment& segment, v1::RewardSource source);

// [S, T] float64: the rewards of REWARD_SOURCE_POTENTIAL (methods/ppo/README.md#a-potential).
// `potential` [S] float64 is that of the state before the segment, zeros before the first. It
// becomes that of the last state.
torch::Tensor PotentialRewards(const agents::Segment& segment, double gamma,
                               torch::Tensor* potential);

// [S, T] float32: standard normals for the signals of one inner iteration, keyed by agent and step.
torch::Tensor SignalNoise(const InnerLoopContext& context, uint32_t iteration);

// One PPO update after inner iteration `iteration`, from these rewards or advantages [S, T]. An
// annealed learning rate falls over `num_updates` updates.
absl::Status UpdateByPpo(const InnerLoopContext& context, const agents::AgentShape& shape,
                         uint32_t iteration, int64_t num_updates, const agents::Segment& segment,
                         const torch::Tensor& signal, agents::AgentBatch* agents,
                         LoopReport* report);

// Agents whose graphs are built together, by one task of the pool, and the groups of a shard. Both
// fix the order of sums.
inline constexpr int64_t kGroupAgents = 8;
// Calls work(first agent, number of agents) side by side. Returns what each group gave.
template <class Part>
absl::StatusOr<std::vector<Part>> ForGroups(
    const InnerLoopContext& context,
    const std::function<absl::StatusOr<Part>(int64_t first, int64_t count)>& work) {
  const int64_t count = context.num_agents(), groups = (count + kGroupAgents - 1) / kGroupAgents;
  std::vector<Part> parts(static_cast<size_t>(groups));
  MENTOR_RETURN_IF_ERROR(
      agents::ParallelFor(context.pool, groups, [&](int64_t group) -> absl::Status {
        const int64_t first = group * count / groups;
        MENTOR_ASSIGN_OR_RETURN(parts[group], work(first, (group + 1) * count / groups - first));
        return absl::OkStatus();
      }));
  return parts;
}

// Adds a violation where actions are no choices; `why` says what needs them, `example` where they
// are.
void CheckChoices(const InnerLoopContext& context, std::string_view why, std::string_view example,
                  Violations* violations);
// Adds a violation where there are meta-parameters, but not as many as `whose` has, or not finite.
void CheckMetaParameters(const InnerLoopContext& context, int64_t size, std::string_view whose,
                         Violations* violations);

// What agents of the inner PPO hold.
LoopSizes SizesOfPpoAgents(const InnerLoopContext& context);
// Numbers of a forward pass through policy and value network with its graph, for one step.
int64_t GraphNumbersPerStep(const agents::AgentShape& shape);

// Parts of a loop's state. Tensors that are not defined are left out.
void AddAgents(const std::string& name, agents::AgentBatch* agents, StateFields* fields);
void AddSignalState(const std::string& name, signals::SignalState* state, StateFields* fields);
// Under "observations"; nothing when the normaliser is disabled.
void AddNormaliser(agents::ObservationNormaliser* normaliser, StateFields* fields);

// What every loop with a learned reward tells of a segment: its signals, and the episodes that
// ended in it. Adds the statistics of SegmentMetrics. They tell whether agents still see new
// episodes (methods/meta_gradient/README.md#why-the-published-runs-failed, 1 and 2).
void ReportSegment(const agents::Segment& segment, LoopReport* report);
MetricTable SegmentMetrics();

// The common part of loops whose agents learn by the inner PPO: how they begin, act, normalise
// observations, and enter and leave snapshots.
class LearningLoop : public InnerLoop {
 public:
  LearningLoop(InnerLoopContext context, const agents::AgentShape& shape);

  void Begin() override;
  std::vector<v1::PolicyWeights> Policies() const override;
  void State(StateFields* fields) override;

 protected:
  // False after the last iteration of a lifetime, from which no agent learns.
  bool LearnsAfter(uint32_t iteration) const;
  // An iteration of agents that collect, learn from that by `learn`, and see it normalised from the
  // next one on.
  absl::StatusOr<agents::Segment> CollectAndLearn(
      const Collect& collect, LoopReport* report,
      const std::function<absl::Status(const agents::Segment&)>& learn);

  const agents::AgentShape shape_;
  agents::ObservationNormaliser normaliser_;
  agents::AgentBatch agents_;
};

}  // namespace mentor::methods
