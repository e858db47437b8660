// The inner PPO of the paper (docs/algorithms/ppo.md): collect T steps, then one update from the
// signal network's rewards or advantages, or from the environment's own rewards (the baselines). No
// update after the last iteration. One outer rule sees the signals and the outcomes, nothing else.
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "learner/inner_loops/inner_loop.h"
#include "learner/inner_loops/learning_loop.h"
#include "learner/inner_loops/shared.h"

namespace mentor::learner {
namespace {

class Ppo : public LearningLoop {
 public:
  explicit Ppo(const InnerLoopContext& context)
      : LearningLoop(context, ShapeOfAgents(*context.shard)), weights_(context.meta_parameters) {}

  void Begin() override {
    LearningLoop::Begin();
    if (context_.network == nullptr) return;
    signal_ = context_.network->InitialState(context_.num_agents(), torch::kFloat32);
  }

  absl::StatusOr<Segment> Iterate(uint32_t iteration, const Collect& collect,
                                  LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(Segment segment, collect(Policies()));
    if (context_.network != nullptr) {
      const CpuTimer timer;
      RunSignal(iteration, &segment);
      report->signal_seconds += timer.Seconds();
    }
    const CpuTimer timer;
    if (LearnsAfter(iteration)) MENTOR_RETURN_IF_ERROR(Update(iteration, segment, report));
    normaliser_.Add(segment.observations);
    report->update_seconds += timer.Seconds();
    return segment;
  }

  TensorMap Save() const override {
    TensorMap state = LearningLoop::Save();
    for (size_t i = 0; i < signal_.recurrent.size(); ++i)
      state[absl::StrFormat("signal.recurrent.%d", i)] = signal_.recurrent[i].cpu();
    if (signal_.previous.defined()) state["signal.previous"] = signal_.previous.cpu();
    return state;
  }

  absl::Status Load(const TensorMap& state) override {
    MENTOR_RETURN_IF_ERROR(LearningLoop::Load(state));
    for (size_t i = 0; i < signal_.recurrent.size(); ++i) {
      MENTOR_RETURN_IF_ERROR(
          LoadInto(state, absl::StrFormat("signal.recurrent.%d", i), &signal_.recurrent[i]));
    }
    if (signal_.previous.defined())
      MENTOR_RETURN_IF_ERROR(LoadInto(state, "signal.previous", &signal_.previous));
    return absl::OkStatus();
  }

 private:
  // After the segment is complete and before the update that uses the signals
  // (docs/algorithms/black_box.md#when-the-network-runs).
  void RunSignal(uint32_t iteration, Segment* segment) {
    torch::Tensor noise;
    if (context_.shard->outer_learning()) noise = SignalNoise(context_, iteration);
    const SignalOutputs outputs = context_.network->Run(weights_, *segment, noise, &signal_);
    segment->signals = outputs.signals;
    segment->signal_log_probs = outputs.log_probs;
    segment->signal_values = outputs.values;
  }

  absl::Status Update(uint32_t iteration, const Segment& segment, LoopReport* report) {
    const torch::Tensor signal = context_.network != nullptr
                                     ? segment.signals
                                     : BaselineRewards(segment, context_.shard->reward_source());
    return UpdateByPpo(context_, shape_, iteration,
                       /*num_updates=*/context_.shard->spec().lifetime().iterations() - 1,
                       normaliser_.Normalise(segment), signal, &agents_, report);
  }

  const torch::Tensor weights_;
  SignalState signal_;
};

const RegisterInnerLoop kPpo({
    .name = "ppo",
    .summary = "PPO updates between inner iterations, from a fixed signal or reward",
    .options = {},
    .make = [](const InnerLoopContext& context, Violations*) -> std::unique_ptr<InnerLoop> {
      return std::make_unique<Ppo>(context);
    },
});

}  // namespace
}  // namespace mentor::learner
