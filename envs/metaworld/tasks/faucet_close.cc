// faucet-close-v3: turn a faucet's lever to the left.
#include "envs/metaworld/tasks/faucet.h"

namespace mentor::envs::metaworld {
namespace {

class FaucetClose : public FaucetTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "faucet-close-v3",
      .summary = "Turn a faucet off (Meta-World).",
      .xml = "sawyer_xyz/sawyer_faucet.xml",
      .hand0 = {0, 0.4, 0.2},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0}, .high = {0.1, 0.85, 0}},
      .goal_low = {-0.5, 0.4, -0.15},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit FaucetClose(Names& names)
      : FaucetTask(names, /*turn=*/-1, "handleStartClose", "goal_close") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    FaucetTask::Reset(v, w, e);
    w.Forward();
  }

  Outcome Reward(const StepView& s, Episode& e) const override { return Turned(s, e, s.o); }
};

const RegisterTask<FaucetClose> kRegisterFaucetClose;

}  // namespace
}  // namespace mentor::envs::metaworld
