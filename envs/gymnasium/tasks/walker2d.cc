#include "envs/gymnasium/walking.h"

namespace mentor::envs::gymnasium {
namespace {

class Walker2d : public Walking {
 public:
  static TaskFacts Facts() {
    return {.name = "Walker2d-v5",
            .summary = "Walk forward on two legs in a plane without falling (Gymnasium, MuJoCo).",
            .xml = "walker2d_v5.xml",
            .sizes = {.nq = 9, .nv = 9, .nu = 6, .nbody = 8},
            .frame_skip = 4,
            .observation_size = 17,
            .ends_early = true,
            .info_keys = InfoKeys(),
            .observation_help = kObservation,
            .reward_help =
                "reward_forward: speed of the root along x\n"
                "reward_survive: 1 while healthy\nreward_ctrl: -0.001 |action|^2\n"
                "ends when not healthy: height 0.8 < q1 < 2, angle |q2| < 1",
            .random_help = kRandom};
  }

  bool Healthy(const View& s) const override {
    return s.q[1] > 0.8 && s.q[1] < 2 && s.q[2] > -1 && s.q[2] < 1;
  }
};

const RegisterTask<Walker2d> kRegisterWalker2d;

}  // namespace
}  // namespace mentor::envs::gymnasium
