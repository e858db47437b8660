// slow_ppo: agents that live through several inner iterations before they learn from what the last
// of them brought. The example of docs/adding.md.
#include "methods/base/inner_loop.h"

#include <memory>

#include "agents/policy.h"
#include "common/check.h"
#include "methods/base/loop_parts.h"

namespace mentor::methods::example_inner_loop {
namespace {

struct Config {
  int64_t period;
};

const auto kOptions = Bind<Config>(
    {{&Config::period, "period", "1", 1, 1000, "Inner iterations from one update to the next."}});

class SlowPpo : public InnerLoop {
 public:
  explicit SlowPpo(const InnerLoopContext& context)
      : InnerLoop(context),
        signals_(*context_.network->signals()),
        period_(kOptions.Read(context_.options).period),
        shape_(ShapeOfAgents(*context_.shard)) {}

  void Begin() override {
    agents_ = FreshAgents(context_, shape_);
    signal_ = signals_.InitialState(context_.num_agents(), torch::kFloat32);
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(agents::Segment segment, collect(Policies()));
    // Signals are sampled while the outer rule learns, means otherwise.
    const torch::Tensor noise =
        context_.shard->outer_learning() ? SignalNoise(context_, iteration) : torch::Tensor();
    const signals::SignalOutputs outputs =
        signals_.Run(context_.meta_parameters, segment, noise, &signal_);
    segment.signals = outputs.signals;
    segment.signal_log_probs = outputs.log_probs;
    segment.signal_values = outputs.values;
    report->statistics["signal_mean"] = outputs.signals.mean().item<double>();
    // No one would see the effect of an update after the last iteration.
    const int64_t iterations = spec().lifetime().iterations();
    if (iteration + 1 == iterations || (iteration + 1) % period_ != 0) return segment;
    const CpuTimer timer;
    MENTOR_RETURN_IF_ERROR(UpdateByPpo(context_, shape_, iteration, /*num_updates=*/iterations - 1,
                                       segment, segment.signals, &agents_, report));
    report->update_seconds += timer.Seconds();
    return segment;
  }

  std::vector<v1::PolicyWeights> Policies() const override {
    return agents::ToPolicyWeights(shape_, agents_.theta);
  }

  // All that the next iterations depend on: agents with their optimizers, the signal's memory.
  void State(StateFields* fields) override {
    AddAgents("agents", &agents_, fields);
    AddSignalState("signal", &signal_, fields);
  }

 private:
  const signals::SignalSource& signals_;  // The context keeps it.
  const int64_t period_;
  const agents::AgentShape shape_;
  agents::AgentBatch agents_;
  signals::SignalState signal_;
};

const RegisterInnerLoop kRegister({
    .name = "slow_ppo",
    .summary = "PPO updates after every so many inner iterations",
    .options = kOptions.table(),
    .metrics = {{.name = "signal_mean", .help = "Mean of the signals of the last iteration."}},
    .surrogate = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          if (context.network == nullptr) {
            violations->Add("rule.name", "is slow_ppo, which needs a signal network");
          }
        },
    .make = MadeLoop<SlowPpo>,
    // It holds no more than its agents.
    .sizes = [](const InnerLoopContext& context, int64_t) { return SizesOfPpoAgents(context); },
});

}  // namespace
}  // namespace mentor::methods::example_inner_loop
