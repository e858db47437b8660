// The agents of Reptile (Nichol et al. 2018). All begin with the meta-learned weights of policy and
// value network and learn by the inner PPO from an extrinsic reward. The rule gets the sum over
// agents of (last weights - first weights).
//
// When the rule learns, an update follows every inner iteration; without one the last iteration
// would teach nothing. Frozen weights are measured as in every method: the last iteration only
// acts.
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods::reptile_loop {
namespace {

const auto kOptions = Bind<v1::RewardSource>(
    {{kItself,
      "reward",
      {{"success", v1::REWARD_SOURCE_SPARSE}, {"shaped", v1::REWARD_SOURCE_SHAPED}},
      "What agents learn from: the sparse success signal or the raw shaped reward."}});

class Displacement : public LearningLoop {
 public:
  explicit Displacement(const InnerLoopContext& context)
      : LearningLoop(context, ShapeWithCritic(context)), reward_(kOptions.Read(context.options)) {}

  void Begin() override {
    agents_ =
        agents::NewAgents(context_.meta_parameters.unsqueeze(0).repeat({context_.num_agents(), 1}));
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    const torch::Tensor rewards = BaselineRewards(segment, reward_);
    segment.signals = rewards.to(torch::kFloat32);
    const uint32_t iterations = spec().lifetime().iterations();
    const bool is_last = iteration + 1 == iterations, teaches = context_.shard->outer_learning();
    if (is_last && !teaches) return segment;
    const CpuTimer timer;
    MENTOR_RETURN_IF_ERROR(UpdateByPpo(context_, shape_, iteration, /*num_updates=*/iterations,
                                       segment, rewards, &agents_, report));
    if (is_last) {
      const torch::Tensor last = agents_.theta.to(torch::kCPU, torch::kFloat64),
                          first = context_.meta_parameters.to(torch::kCPU, torch::kFloat64);
      report->outer_gradient = torch::zeros_like(first);
      double length = 0;
      for (int64_t s = 0; s < context_.num_agents(); ++s) {
        const torch::Tensor displacement = last[s] - first;
        report->outer_gradient += displacement;
        length += displacement.norm().item<double>();
      }
      report->statistics["displacement"] = length / static_cast<double>(context_.num_agents());
    }
    report->update_seconds += timer.Seconds();
    return segment;
  }

 private:
  const v1::RewardSource reward_;
};

const RegisterInnerLoop kDisplacement({
    .name = "displacement",
    .summary = "PPO updates from meta-learned initial weights on an extrinsic reward (Reptile)",
    .options = kOptions.table(),
    .metrics = {{.name = "displacement",
                 .help = "Distance of an agent's last weights from its first, mean over agents."}},
    .surrogate = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          CheckMetaParameters(context, agents::AgentLayout(ShapeWithCritic(context)).size(),
                              "an agent", violations);
        },
    .make = MadeLoop<Displacement>,
    .sizes = [](const InnerLoopContext& context, int64_t) { return SizesOfPpoAgents(context); },
    .gives_gradient =
        [](const InnerLoopContext& context) {
          return context.shard->outer_learning() &&
                 context.end() == context.spec().lifetime().iterations();
        },
});

}  // namespace
}  // namespace mentor::methods::reptile_loop
