// button-press-v3: press a button in a wall.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class ButtonPress : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "button-press-v3",
      .summary = "Press a button that faces the robot (Meta-World).",
      .xml = "sawyer_xyz/sawyer_button_press.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .mocap_low = {-0.5, 0.4, 0.05},
      .mocap_high = {0.5, 1, 0.5},
      .rand_vec = {.size = 3, .low = {-0.1, 0.85, 0.115}, .high = {0.1, 0.9, 0.115}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit ButtonPress(Names& names)
      : box_(names.Body("box")),
        button_(names.Body("button")),
        hole_(names.Site("hole")),
        button_start_(names.Site("buttonStart")) {}

  Objects Observe(const World& w) const override {
    return {w.At(button_) + Vec3{0, -0.193, 0}, w.Orientation(button_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(box_, e.obj0);
    w.SetQpos(9, 0.0);
    w.ZeroQvel(9, 10);
    w.Forward();
    e.target = w.At(hole_);
    e.press0 = std::abs(e.target[1] - w.At(button_start_)[1]);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double d = Norm(s.o - s.tcp);
    const double dt = std::abs(e.target[1] - s.o[1]);
    const double near = T(d, 0.05, Norm(s.o - e.tcp0));
    const double pressed = T(dt, 0.005, e.press0);
    return {.reward = 2 * H(s.g, near) + (d <= 0.05 ? 8 * pressed : 0),
            .success = dt <= 0.02,
            .near_object = d <= 0.05,
            .grasp_success = s.g > 0,
            .grasp_reward = near,
            .in_place_reward = pressed,
            .obj_to_target = dt};
  }

 private:
  const BodyId box_, button_;
  const SiteId hole_, button_start_;
};

const RegisterTask<ButtonPress> kRegister;

}  // namespace
}  // namespace mentor::envs::metaworld
