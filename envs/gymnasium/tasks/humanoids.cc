// What Humanoid and HumanoidStandup share: the body, what is seen of it, what its effort costs.
#include <algorithm>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

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

const RegisterTasks<Humanoid, HumanoidStandup> kRegisterHumanoids;

}  // namespace
}  // namespace mentor::envs::gymnasium
