// Poles on a cart.
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

class InvertedDoublePendulum : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "InvertedDoublePendulum-v5",
            .summary = "Balance two poles, one upon the other, on a cart (Gymnasium, MuJoCo).",
            .xml = "inverted_double_pendulum.xml",
            .sizes = {.nq = 3, .nv = 3, .nu = 1, .nbody = 4, .nsite = 1},
            .frame_skip = 5,
            .observation_size = 9,
            .ends_early = true,
            .info_keys = {"reward_survive", "distance_penalty", "velocity_penalty"},
            .observation_help =
                "cart; sines of the two angles; their cosines; velocities (3) and "
                "the constraint force on the cart, clipped to [-10, 10]",
            .reward_help =
                "reward_survive: 10, at the end 0\n"
                "distance_penalty: -(0.01 x^2 + (z - 2)^2) of the tip\n"
                "velocity_penalty: -(0.001 w1^2 + 0.005 w2^2)\nends when z <= 1",
            .random_help = "reset: initial positions + U(-0.1, 0.1), velocities N(0, 0.1)"};
  }

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.1);
    draw.AddNormal(w, 0.1);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q[0]);
    for (int i : {1, 2}) o.Add(std::sin(s.q[i]));
    for (int i : {1, 2}) o.Add(std::cos(s.q[i]));
    o.AddClipped(s.w, 10);
    o.AddClipped(std::span(s.d.qfrc_constraint, 1), 10);
  }
  Outcome Reward(const View& s) const override {
    const double x = s.d.site_xpos[0], z = s.d.site_xpos[2];
    const double distance = 0.01 * x * x + (z - 2) * (z - 2);
    const double speed = 0.001 * s.w[1] * s.w[1] + 0.005 * s.w[2] * s.w[2];
    const bool up = z > 1;
    const double survive = up ? 10 : 0;
    return {.reward = survive - distance - speed,
            .terminated = !up,
            .info = {survive, -distance, -speed}};
  }
};

const RegisterTasks<InvertedPendulum, InvertedDoublePendulum> kRegisterPendulums;

}  // namespace
}  // namespace mentor::envs::gymnasium
