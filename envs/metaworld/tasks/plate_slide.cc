// plate-slide-v3: slide a plate into a cabinet.
#include "envs/metaworld/tasks/plate_slide.h"

namespace mentor::envs::metaworld {
namespace {

class PlateSlide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-v3",
      .summary = "Slide a plate into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6, .low = {0, 0.6, 0, -0.1, 0.85, 0}, .high = {0, 0.6, 0, 0.1, 0.9, 0}},
      .goal_low = {-0.1, 0.85, 0},
      .goal_high = {0.1, 0.9, 0},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(cabinet_, v.Tail());
    Settle(v, w, e, 0, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = T(d, 0.05, Norm(e.tcp0 - e.obj0));
    return Slid(8 * H(grasp, place), d, dt, grasp, place);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.055, 0.03};
    if (s.LevelTo(rim) > 0.03) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    return {{s.goal[0], 0.9, rim[2]}, 10, -1};
  }
};

const RegisterTask<PlateSlide> kRegisterPlateSlide;

}  // namespace
}  // namespace mentor::envs::metaworld
