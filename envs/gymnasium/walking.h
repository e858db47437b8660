// What Hopper and Walker2d share: a planar walker that is paid for speed while it is healthy.
#pragma once

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {

class Walking : public Task {
 public:
  static std::vector<std::string> InfoKeys() {
    return {"x_position",  "z_distance_from_origin", "x_velocity", "reward_forward",
            "reward_ctrl", "reward_survive"};
  }
  static constexpr char kObservation[] = "q[1:]; velocities, clipped to [-10, 10]";
  static constexpr char kRandom[] =
      "reset: initial positions + U(-0.005, 0.005), velocities U(-0.005, 0.005)";

  virtual bool Healthy(const View& s) const = 0;

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.005);
    draw.AddUniform(w, 0.005);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.subspan(1));
    o.AddClipped(s.w, 10);
  }
  Outcome Reward(const View& s) const override {
    const bool healthy = Healthy(s);
    const double forward = s.velocity[0], survive = healthy, control = 0.001 * SquaredNorm(s.u);
    return {.reward = forward + survive - control,
            .terminated = !healthy,
            .info = {s.q[0], s.q[1] - s.m.qpos0[1], s.velocity[0], forward, -control, survive}};
  }
};

}  // namespace mentor::envs::gymnasium
