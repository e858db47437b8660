#include "envs/gymnasium/walking.h"

namespace mentor::envs::gymnasium {
namespace {

class Hopper : public Walking {
 public:
  static TaskFacts Facts() {
    return {.name = "Hopper-v5",
            .summary = "Hop forward on one leg without falling (Gymnasium, MuJoCo).",
            .xml = "hopper.xml",
            .sizes = {.nq = 6, .nv = 6, .nu = 3, .nbody = 5},
            .frame_skip = 4,
            .observation_size = 11,
            .ends_early = true,
            .info_keys = InfoKeys(),
            .observation_help = kObservation,
            .reward_help =
                "reward_forward: speed of the root along x\n"
                "reward_survive: 1 while healthy\nreward_ctrl: -0.001 |action|^2\n"
                "ends when not healthy: height q1 > 0.7, angle |q2| < 0.2 and every "
                "further position and velocity within 100",
            .random_help = kRandom};
  }

  bool Healthy(const View& s) const override {
    return s.q[1] > 0.7 && s.q[2] > -0.2 && s.q[2] < 0.2 && AllWithin(s.q.subspan(2), 100) &&
           AllWithin(s.w, 100);
  }
};

const RegisterTask<Hopper> kRegisterHopper;

}  // namespace
}  // namespace mentor::envs::gymnasium
