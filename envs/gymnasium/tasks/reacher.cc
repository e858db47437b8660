#include <cmath>

#include "envs/gymnasium/gymnasium_environment.h"

namespace mentor::envs::gymnasium {
namespace {

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

const RegisterTask<Reacher> kRegisterReacher;

}  // namespace
}  // namespace mentor::envs::gymnasium
