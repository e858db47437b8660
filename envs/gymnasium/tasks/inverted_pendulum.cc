#include <cmath>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

class InvertedPendulum : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "InvertedPendulum-v5",
            .summary = "Balance a pole on a cart (Gymnasium, MuJoCo).",
            .xml = "inverted_pendulum.xml",
            .sizes = {.nq = 2, .nv = 2, .nu = 1, .nbody = 3},
            .frame_skip = 2,
            .control = 3,
            .observation_size = 4,
            .ends_early = true,
            .info_keys = {"reward_survive"},
            .observation_help = "positions (cart, angle); velocities",
            .reward_help = "reward_survive: 1, at the end 0\nends when |angle| > 0.2",
            .random_help = "reset: initial positions + U(-0.01, 0.01), velocities U(-0.01, 0.01)"};
  }

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.01);
    draw.AddUniform(w, 0.01);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q);
    o.Add(s.w);
  }
  Outcome Reward(const View& s) const override {
    const bool up = std::abs(s.q[1]) <= 0.2 && AllFinite(s.q) && AllFinite(s.w);
    const double survive = up;
    return {.reward = survive, .terminated = !up, .info = {survive}};
  }
};

const RegisterTask<InvertedPendulum> kRegisterInvertedPendulum;

}  // namespace
}  // namespace mentor::envs::gymnasium
