// The inner PPO of the paper (methods/ppo/README.md): collects T steps, then makes one update. The
// update takes the signal network's rewards or advantages, or the environment's own rewards (the
// baselines). No update follows the last iteration. The outer rule sees only signals and outcomes.
#include <algorithm>

#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/shared/bonus_rewards.h"

namespace mentor::methods::ppo_loop {
namespace {

class Ppo : public LearningLoop {
 public:
  explicit Ppo(const InnerLoopContext& context)
      : LearningLoop(context, ShapeOfAgents(*context.shard)),
        source_(context.network != nullptr ? context.network->signals() : nullptr),
        weights_(context.meta_parameters),
        sight_(context),
        bonus_(context) {}

  void Begin() override {
    LearningLoop::Begin();
    if (source_ != nullptr) signal_ = source_->InitialState(context_.num_agents(), torch::kFloat32);
    if (Source() == v1::REWARD_SOURCE_POTENTIAL)
      potential_ = torch::zeros({context_.num_agents()}, torch::kFloat64);
    if (bonus_.enabled()) bonus_.Begin();
  }

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    MENTOR_ASSIGN_OR_RETURN(const agents::Segment segment, collect(Policies()));
    // The outer rule learns from what the network saw.
    agents::Segment shown = segment;
    if (source_ != nullptr) {
      const CpuTimer timer;
      shown = sight_.Show(segment);
      RunSignal(iteration, &shown);
      report->signal_seconds += timer.Seconds();
    }
    const CpuTimer timer;
    if (LearnsAfter(iteration))
      MENTOR_RETURN_IF_ERROR(Update(iteration, segment, shown.signals, report));
    normaliser_.Add(segment.observations);
    report->update_seconds += timer.Seconds();
    return shown;
  }

  void State(StateFields* fields) override {
    LearningLoop::State(fields);
    AddSignalState("signal", &signal_, fields);
    sight_.AddTo(fields);
    if (potential_.defined()) fields->Add("potential", &potential_);
    bonus_.AddTo(fields);
  }

 private:
  v1::RewardSource Source() const { return context_.shard->reward_source(); }

  // Runs after the segment is complete and before the update that uses the signals
  // (methods/black_box/README.md#when-the-network-runs).
  void RunSignal(uint32_t iteration, agents::Segment* segment) {
    torch::Tensor noise;
    if (context_.shard->outer_learning()) noise = SignalNoise(context_, iteration);
    const signals::SignalOutputs outputs = source_->Run(weights_, *segment, noise, &signal_);
    segment->signals = outputs.signals;
    segment->signal_log_probs = outputs.log_probs;
    segment->signal_values = outputs.values;
  }

  // signals: [S, T], undefined for baselines.
  absl::Status Update(uint32_t iteration, const agents::Segment& segment,
                      const torch::Tensor& signals, LoopReport* report) {
    torch::Tensor signal = signals;
    if (bonus_.enabled()) {
      MENTOR_ASSIGN_OR_RETURN(signal, bonus_.Rewards(segment));
    } else if (potential_.defined()) {
      signal = PotentialRewards(segment, context_.shard->spec().agent().gamma(), &potential_);
    } else if (source_ == nullptr) {
      signal = BaselineRewards(segment, Source());
    }
    return UpdateByPpo(context_, shape_, iteration,
                       /*num_updates=*/context_.shard->spec().lifetime().iterations() - 1,
                       normaliser_.Normalise(segment), signal, &agents_, report);
  }

  const signals::SignalSource* const source_;  // Null for baselines.
  const torch::Tensor weights_;
  NetworkSight sight_;
  signals::SignalState signal_;
  torch::Tensor potential_;  // [S] of the last state; undefined unless it is the reward's source.
  BonusRewards bonus_;
};

const RegisterInnerLoop kPpo({
    .name = "ppo",
    .summary = "PPO updates between inner iterations, from a fixed signal or reward",
    .options = {},
    .surrogate = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          if (BonusOf(context.shard->reward_source()) != nullptr)
            bonuses::CheckSettings(context.spec().evaluation(), violations);
        },
    .make = MadeLoop<Ppo>,
    .sizes =
        [](const InnerLoopContext& context, int64_t) {
          LoopSizes sizes = SizesOfPpoAgents(context);
          const LoopSizes bonus = BonusRewards(context).Sizes();
          sizes.state += bonus.state;
          sizes.saved += bonus.saved;
          sizes.at_once += bonus.at_once;
          sizes.per_thread = std::max(sizes.per_thread, bonus.per_thread);
          return sizes;
        },
    .unread = UnreadWithoutCritic,
});

}  // namespace
}  // namespace mentor::methods::ppo_loop
