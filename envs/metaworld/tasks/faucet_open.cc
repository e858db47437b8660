// faucet-open-v3: turn a faucet's lever to the right.
#include "envs/metaworld/tasks/faucet.h"

namespace mentor::envs::metaworld {
namespace {

class FaucetOpen : public FaucetTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "faucet-open-v3",
      .summary = "Turn a faucet on (Meta-World).",
      .xml = "sawyer_xyz/sawyer_faucet.xml",
      .hand0 = {0, 0.4, 0.2},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.05, 0.8, 0}, .high = {0.05, 0.85, 0}},
      .goal_low = {-0.5, 0.4, -0.15},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit FaucetOpen(Names& names)
      : FaucetTask(names, /*turn=*/1, "handleStartOpen", "goal_open") {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Turned(s, e, s.o + Vec3{-0.04, 0, 0.03});
  }
};

const RegisterTask<FaucetOpen> kRegisterFaucetOpen;

}  // namespace
}  // namespace mentor::envs::metaworld
