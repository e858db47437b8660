#include "envs/gymnasium/humanoid.h"

namespace mentor::envs::gymnasium {
namespace {

class Humanoid : public HumanoidBody {
 public:
  static TaskFacts Facts() {
    return {.name = "Humanoid-v5",
            .summary = "Walk forward on two legs without falling (Gymnasium, MuJoCo).",
            .xml = "humanoid.xml",
            .sizes = kSizes,
            .frame_skip = kFrameSkip,
            .control = kControl,
            .observation_size = kObservationSize,
            .ends_early = true,
            .contact_forces = true,
            .info_keys = {"x_position", "y_position", "distance_from_origin", "x_velocity",
                          "y_velocity", "reward_survive", "reward_forward", "reward_ctrl",
                          "reward_contact"},
            .observation_help = kObservation,
            .reward_help =
                "reward_forward: 1.25 x speed of the centre of mass along x\n"
                "reward_survive: 5 while healthy\nreward_ctrl: -0.1 |action|^2\n"
                "reward_contact: -min(5e-7 |cfrc_ext|^2, 10)\n"
                "ends when not healthy: height 1 < q2 < 2",
            .random_help = kRandom};
  }

  Outcome Reward(const View& s) const override {
    const bool healthy = s.q[2] > 1 && s.q[2] < 2;
    const double forward = 1.25 * s.velocity[0], survive = healthy ? 5 : 0;
    const double control = ControlCost(s), contact = ContactCost(s);
    return {.reward = forward + survive - (control + contact),
            .terminated = !healthy,
            .info = {s.q[0], s.q[1], Norm(s.q[0], s.q[1]), s.velocity[0], s.velocity[1], survive,
                     forward, -control, -contact}};
  }
};

const RegisterTask<Humanoid> kRegisterHumanoid;

}  // namespace
}  // namespace mentor::envs::gymnasium
