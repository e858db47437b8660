#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

class Swimmer : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "Swimmer-v5",
            .summary = "Swim forward with three links in a viscous plane (Gymnasium, MuJoCo).",
            .xml = "swimmer.xml",
            .sizes = {.nq = 5, .nv = 5, .nu = 2, .nbody = 4},
            .frame_skip = 4,
            .observation_size = 8,
            .info_keys = {"x_position", "y_position", "distance_from_origin", "x_velocity",
                          "y_velocity", "reward_forward", "reward_ctrl"},
            .observation_help = "q[2:]; velocities",
            .reward_help =
                "reward_forward: speed of the root along x\n"
                "reward_ctrl: -0.0001 |action|^2\nnever ends early",
            .random_help = "reset: initial positions + U(-0.1, 0.1), velocities U(-0.1, 0.1)"};
  }

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.1);
    draw.AddUniform(w, 0.1);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.subspan(2));
    o.Add(s.w);
  }
  Outcome Reward(const View& s) const override {
    const double forward = s.velocity[0], control = 0.0001 * SquaredNorm(s.u);
    return {.reward = forward - control,
            .info = {s.q[0], s.q[1], Norm(s.q[0], s.q[1]), s.velocity[0], s.velocity[1], forward,
                     -control}};
  }
};

const RegisterTask<Swimmer> kRegisterSwimmer;

}  // namespace
}  // namespace mentor::envs::gymnasium
