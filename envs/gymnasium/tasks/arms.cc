// Tasks of an arm.
#include <cmath>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

class Pusher : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "Pusher-v5",
            .summary = "Push a cylinder to a goal with a seven-joint arm (Gymnasium, MuJoCo).",
            .xml = "pusher_v5.xml",
            .sizes = {.nq = 11, .nv = 11, .nu = 7, .nbody = 13},
            .frame_skip = 5,
            .control = 2,
            .observation_size = 23,
            .episode_steps = 100,
            .bodies = {"tips_arm", "object", "goal"},
            .info_keys = {"reward_dist", "reward_ctrl", "reward_near"},
            .observation_help =
                "angles (7) and angular velocities (7) of the arm; positions of "
                "tip, object and goal (3 x 3)",
            .reward_help =
                "reward_dist: -|object - goal|\nreward_ctrl: -0.1 |action|^2\n"
                "reward_near: -0.5 |object - tip|\nnever ends early",
            .random_help =
                "reset: the object uniform in [-0.3, 0] x [-0.2, 0.2], further than "
                "0.17 from the goal; velocities of the arm U(-0.005, 0.005)"};
  }
  enum Bodies { kTip, kObject, kGoal };

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    do {
      q[7] = draw.Uniform(-0.3, 0);
      q[8] = draw.Uniform(-0.2, 0.2);
    } while (!(Norm(q[7], q[8]) > 0.17));
    q[9] = q[10] = 0;
    draw.AddUniform(w.first(7), 0.005);
  }
  void Observe(const View& s, Observation& o) const override {
    o.Add(s.q.first(7));
    o.Add(s.w.first(7));
    for (int body : {kTip, kObject, kGoal}) o.Add(std::span(s.Body(body), 3));
  }
  Outcome Reward(const View& s) const override {
    const double distance = mju_dist3(s.Body(kObject), s.Body(kGoal));
    const double near = 0.5 * mju_dist3(s.Body(kObject), s.Body(kTip));
    const double control = 0.1 * SquaredNorm(s.u);
    return {.reward = -distance - control - near, .info = {-distance, -control, -near}};
  }
};

class Reacher : public Task {
 public:
  static TaskFacts Facts() {
    return {.name = "Reacher-v5",
            .summary = "Bring the tip of a two-link arm to a target (Gymnasium, MuJoCo).",
            .xml = "reacher.xml",
            .sizes = {.nq = 4, .nv = 4, .nu = 2, .nbody = 5},
            .frame_skip = 2,
            .observation_size = 10,
            .episode_steps = 50,
            .bodies = {"fingertip", "target"},
            .info_keys = {"reward_dist", "reward_ctrl"},
            .observation_help =
                "cosines of the two angles; their sines; target (2); angular "
                "velocities (2); fingertip - target (2)",
            .reward_help =
                "reward_dist: -|fingertip - target|\nreward_ctrl: -|action|^2\n"
                "never ends early",
            .random_help =
                "reset: initial positions + U(-0.1, 0.1), velocities U(-0.005, 0.005); "
                "the target uniform in the disc of radius 0.2, at rest"};
  }
  enum Bodies { kFingertip, kTarget };

  void Reset(Draws& draw, std::span<double> q, std::span<double> w) const override {
    draw.AddUniform(q, 0.1);
    do {
      q[2] = draw.Uniform(-0.2, 0.2);
      q[3] = draw.Uniform(-0.2, 0.2);
    } while (!(Norm(q[2], q[3]) < 0.2));
    draw.AddUniform(w.first(2), 0.005);
  }
  void Observe(const View& s, Observation& o) const override {
    for (int i = 0; i < 2; ++i) o.Add(std::cos(s.q[i]));
    for (int i = 0; i < 2; ++i) o.Add(std::sin(s.q[i]));
    o.Add(s.q.subspan(2));
    o.Add(s.w.first(2));
    for (int i = 0; i < 2; ++i) o.Add(s.Body(kFingertip)[i] - s.Body(kTarget)[i]);
  }
  Outcome Reward(const View& s) const override {
    const double distance = mju_dist3(s.Body(kFingertip), s.Body(kTarget));
    const double control = SquaredNorm(s.u);
    return {.reward = -distance - control, .info = {-distance, -control}};
  }
};

const RegisterTasks<Pusher, Reacher> kRegisterArms;

}  // namespace
}  // namespace mentor::envs::gymnasium
