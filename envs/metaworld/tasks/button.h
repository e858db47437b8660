// What tasks with a button share: a box with a button that is pressed along an axis of the world,
// and the measures of a press.
#pragma once

#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {

// How far a press has come, along `axis`.
struct Press {
  double d;   // From the gripper to the button.
  double dt;  // From the button to where it is pressed in.
  double near, pressed;

  Press(const StepView& s, const Episode& e, int axis, double near_bound)
      : d(Norm(s.o - s.tcp)),
        dt(std::abs(e.target[axis] - s.o[axis])),
        near(T(d, near_bound, Norm(s.o - e.tcp0))),
        pressed(T(dt, 0.005, e.press0)) {}

  Outcome Result(const StepView& s, double reward, bool success) const {
    return {.reward = reward,
            .success = success,
            .near_object = d <= 0.05,
            .grasp_success = s.g > 0,
            .grasp_reward = near,
            .in_place_reward = pressed,
            .obj_to_target = dt};
  }
};

class ButtonTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(button_) + face_, w.Orientation(button_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(box_, e.obj0);
    w.Forward();
    e.target = w.At(hole_);
    e.press0 = std::abs(e.target[axis_] - w.At(button_start_)[axis_]);
  }

 protected:
  // face: from the button's body to the face that is pressed.
  ButtonTask(Names& names, int axis, const Vec3& face)
      : axis_(axis),
        face_(face),
        box_(names.Body("box")),
        button_(names.Body("button")),
        hole_(names.Site("hole")),
        button_start_(names.Site("buttonStart")) {}

 private:
  const int axis_;
  const Vec3 face_;
  const BodyId box_, button_;
  const SiteId hole_, button_start_;
};

}  // namespace mentor::envs::metaworld
