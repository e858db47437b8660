// slow_ppo: agents that live through several inner iterations before they learn from what the last
// of them brought. The example of docs/adding.md.
#include "methods/base/inner_loop.h"

#include <memory>

#include "agents/policy_weights.h"
#include "common/check.h"
#include "methods/base/loop_parts.h"

namespace mentor::learner {
namespace {

class SlowPpo : public InnerLoop {
 public:
  explicit SlowPpo(InnerLoopContext context)
      : context_(std::move(context)),
        signals_(*context_.network->signals()),
        period_(context_.options.Integer("period")),
        shape_(ShapeOfAgents(*context_.shard)) {}

  void Begin() override {
    agents_ = FreshAgents(context_, shape_);
    signal_ = signals_.InitialState(context_.num_agents(), torch::kFloat32);
  }

  absl::StatusOr<Segment> Iterate(uint32_t iteration, const Collect& collect,
                                  LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(Segment segment, collect(Policies()));
    // Signals are sampled while the outer rule learns, means otherwise.
    const torch::Tensor noise =
        context_.shard->outer_learning() ? SignalNoise(context_, iteration) : torch::Tensor();
    const SignalOutputs outputs = signals_.Run(context_.meta_parameters, segment, noise, &signal_);
    segment.signals = outputs.signals;
    segment.signal_log_probs = outputs.log_probs;
    segment.signal_values = outputs.values;
    report->statistics["signal_mean"] = outputs.signals.mean().item<double>();
    // No one would see the effect of an update after the last iteration.
    const int64_t iterations = context_.shard->spec().lifetime().iterations();
    if (iteration + 1 == iterations || (iteration + 1) % period_ != 0) return segment;
    const CpuTimer timer;
    MENTOR_RETURN_IF_ERROR(UpdateByPpo(context_, shape_, iteration, /*num_updates=*/iterations - 1,
                                       segment, segment.signals, &agents_, report));
    report->update_seconds += timer.Seconds();
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return ToPolicyWeights(shape_, agents_.theta);
  }

  // All that the next iterations depend on: agents with their optimizers, the signal's memory.
  void State(StateFields* fields) override {
    AddAgents("agents", &agents_, fields);
    AddSignalState("signal", &signal_, fields);
  }

 private:
  const InnerLoopContext context_;
  const SignalSource& signals_;  // The context keeps it.
  const int64_t period_;
  const AgentShape shape_;
  AgentBatch agents_;
  SignalState signal_;
};

const RegisterInnerLoop kRegister({
    .name = "slow_ppo",
    .summary = "PPO updates after every so many inner iterations",
    .options = {{.name = "period",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "1",
                 .min = 1,
                 .max = 1000,
                 .help = "Inner iterations from one update to the next."}},
    .metrics = {{.name = "signal_mean", .help = "Mean of the signals of the last iteration."}},
    .make = [](const InnerLoopContext& context, Violations*) -> std::unique_ptr<InnerLoop> {
      if (context.network == nullptr) return nullptr;  // Refused by its name already.
      return std::make_unique<SlowPpo>(context);
    },
});

}  // namespace
}  // namespace mentor::learner
