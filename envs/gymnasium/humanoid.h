// What Humanoid and HumanoidStandup share: the body, what is seen of it, what its effort costs.
#pragma once

#include <algorithm>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {

class HumanoidBody : public Task {
 public:
  static constexpr TaskFacts::Sizes kSizes = {.nq = 24, .nv = 23, .nu = 17, .nbody = 14};
  static constexpr int kFrameSkip = 5;
  static constexpr double kControl = 0.4;
  static constexpr int kObservationSize = 348;
  static constexpr char kObservation[] =
      "q[2:] (22); velocities (23); of each body but the world: cinert (13 x 10) and cvel (13 x "
      "6);\n"
      "qfrc_actuator[6:] (17); cfrc_ext of each body but the world (13 x 6)";
  static constexpr char kRandom[] =
      "reset: initial positions + U(-0.01, 0.01), velocities U(-0.01, 0.01)";

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.01);
    draw.AddUniform(w, 0.01);
  }

  // The centre of mass.
  Position Where(const View& s) const override {
    double mass = 0, x = 0, y = 0;
    for (int i = 0; i < s.m.nbody; ++i) {
      mass += s.m.body_mass[i];
      x += s.m.body_mass[i] * s.d.xipos[3 * i];
      y += s.m.body_mass[i] * s.d.xipos[3 * i + 1];
    }
    return {x / mass, y / mass};
  }

  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.subspan(2));
    o.Add(s.w);
    o.Add(s.Rows(s.d.cinert, 10, 1));
    o.Add(s.Rows(s.d.cvel, 6, 1));
    o.Add(std::span(s.d.qfrc_actuator, s.w.size()).subspan(6));
    o.Add(s.Rows(s.d.cfrc_ext, 6, 1));
  }

 protected:
  static double ControlCost(const View& s) { return 0.1 * SquaredNorm(s.u); }
  static double ContactCost(const View& s) {
    return std::min(5e-7 * SquaredNorm(s.Rows(s.d.cfrc_ext, 6)), 10.0);
  }
};

}  // namespace mentor::envs::gymnasium
