#include "envs/gymnasium/humanoid.h"

namespace mentor::envs::gymnasium {
namespace {

class HumanoidStandup : public HumanoidBody {
 public:
  static TaskFacts Facts() {
    return {.name = "HumanoidStandup-v5",
            .summary = "Stand up from lying on the back (Gymnasium, MuJoCo).",
            .xml = "humanoidstandup.xml",
            .sizes = kSizes,
            .frame_skip = kFrameSkip,
            .control = kControl,
            .observation_size = kObservationSize,
            .contact_forces = true,
            .info_keys = {"x_position", "y_position", "z_distance_from_origin", "reward_linup",
                          "reward_quadctrl", "reward_impact"},
            .observation_help = kObservation,
            .reward_help =
                "reward_linup: height q2 / the simulator's time step\n"
                "reward_quadctrl: -0.1 |action|^2\n"
                "reward_impact: -min(5e-7 |cfrc_ext|^2, 10)\nand 1; never ends early",
            .random_help = kRandom};
  }

  Outcome Reward(const View& s) const override {
    const double up = s.q[2] / s.m.opt.timestep;
    const double control = ControlCost(s), impact = ContactCost(s);
    return {.reward = up - control - impact + 1,
            .info = {s.q[0], s.q[1], s.q[2] - s.m.qpos0[2], up, -control, -impact}};
  }
};

const RegisterTask<HumanoidStandup> kRegisterHumanoidStandup;

}  // namespace
}  // namespace mentor::envs::gymnasium
