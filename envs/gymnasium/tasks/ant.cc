#include <algorithm>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

class Ant : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "Ant-v5",
            .summary = "Walk forward on four legs without falling or leaping (Gymnasium, MuJoCo).",
            .xml = "ant.xml",
            .sizes = {.nq = 15, .nv = 14, .nu = 8, .nbody = 14},
            .frame_skip = 5,
            .observation_size = 105,
            .ends_early = true,
            .contact_forces = true,
            .bodies = {"torso"},
            .info_keys = {"x_position", "y_position", "distance_from_origin", "x_velocity",
                          "y_velocity", "reward_forward", "reward_ctrl", "reward_contact",
                          "reward_survive"},
            .observation_help =
                "q[2:] (13); velocities (14); cfrc_ext of each body but the world, "
                "clipped to [-1, 1] (13 x 6)",
            .reward_help =
                "reward_forward: speed of the torso along x\n"
                "reward_survive: 1 while healthy\nreward_ctrl: -0.5 |action|^2\n"
                "reward_contact: -0.0005 |cfrc_ext clipped to [-1, 1]|^2\n"
                "ends when not healthy: height 0.2 <= q2 <= 1, all finite",
            .random_help =
                "reset: initial positions + U(-0.1, 0.1), the quaternion too and not "
                "renormalised; velocities N(0, 0.1)"};
  }

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.1);
    draw.AddNormal(w, 0.1);
  }
  Position Where(const View& s) const override { return {s.Body(0)[0], s.Body(0)[1]}; }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.subspan(2));
    o.Add(s.w);
    o.AddClipped(s.Rows(s.d.cfrc_ext, 6, 1), 1);
  }
  Outcome Reward(const View& s) const override {
    const bool healthy = AllFinite(s.q) && AllFinite(s.w) && s.q[2] >= 0.2 && s.q[2] <= 1;
    double forces = 0;
    for (double force : s.Rows(s.d.cfrc_ext, 6)) {
      force = std::clamp(force, -1.0, 1.0);
      forces += force * force;
    }
    const double forward = s.velocity[0], survive = healthy;
    const double control = 0.5 * SquaredNorm(s.u), contact = 0.0005 * forces;
    return {.reward = forward + survive - (control + contact),
            .terminated = !healthy,
            .info = {s.q[0], s.q[1], Norm(s.q[0], s.q[1]), s.velocity[0], s.velocity[1], forward,
                     -control, -contact, survive}};
  }
};

const RegisterTask<Ant> kRegisterAnt;

}  // namespace
}  // namespace mentor::envs::gymnasium
