// Tasks that pay for the speed along x.
#include <algorithm>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

// What Hopper and Walker2d share: a planar walker that is paid for speed while it is healthy.
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

class Walker2d : public Walking {
 public:
  static TaskFacts Facts() {
    return {.name = "Walker2d-v5",
            .summary = "Walk forward on two legs in a plane without falling (Gymnasium, MuJoCo).",
            .xml = "walker2d_v5.xml",
            .sizes = {.nq = 9, .nv = 9, .nu = 6, .nbody = 8},
            .frame_skip = 4,
            .observation_size = 17,
            .ends_early = true,
            .info_keys = InfoKeys(),
            .observation_help = kObservation,
            .reward_help =
                "reward_forward: speed of the root along x\n"
                "reward_survive: 1 while healthy\nreward_ctrl: -0.001 |action|^2\n"
                "ends when not healthy: height 0.8 < q1 < 2, angle |q2| < 1",
            .random_help = kRandom};
  }

  bool Healthy(const View& s) const override {
    return s.q[1] > 0.8 && s.q[1] < 2 && s.q[2] > -1 && s.q[2] < 1;
  }
};

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

const RegisterTasks<Hopper, Walker2d, HalfCheetah, Ant, Swimmer> kRegisterWalkers;

}  // namespace
}  // namespace mentor::envs::gymnasium
