#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

class HalfCheetah : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "HalfCheetah-v5",
            .summary = "Run forward with two legs in a plane (Gymnasium, MuJoCo).",
            .xml = "half_cheetah.xml",
            .sizes = {.nq = 9, .nv = 9, .nu = 6, .nbody = 8},
            .frame_skip = 5,
            .observation_size = 17,
            .info_keys = {"x_position", "x_velocity", "reward_forward", "reward_ctrl"},
            .observation_help = "q[1:]; velocities",
            .reward_help =
                "reward_forward: speed of the root along x\n"
                "reward_ctrl: -0.1 |action|^2\nnever ends early",
            .random_help = "reset: initial positions + U(-0.1, 0.1), velocities N(0, 0.1)"};
  }

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.1);
    draw.AddNormal(w, 0.1);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.subspan(1));
    o.Add(s.w);
  }
  Outcome Reward(const View& s) const override {
    const double forward = s.velocity[0], control = 0.1 * SquaredNorm(s.u);
    return {.reward = forward - control, .info = {s.q[0], s.velocity[0], forward, -control}};
  }
};

const RegisterTask<HalfCheetah> kRegisterHalfCheetah;

}  // namespace
}  // namespace mentor::envs::gymnasium
