// plate-slide-side-v3: slide a plate sideways into a cabinet.
#include "envs/metaworld/tasks/plate_slide.h"

namespace mentor::envs::metaworld {
namespace {

class PlateSlideSide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-side-v3",
      .summary = "Slide a plate sideways into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide_sideway.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.6, 0, -0.3, 0.54, 0},
                   .high = {0, 0.6, 0, -0.25, 0.66, 0}},
      .goal_low = {-0.3, 0.54, 0},
      .goal_high = {-0.25, 0.66, 0},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0.07, 0, -0.005};
    if (s.LevelTo(rim) > 0.04) return {Above(rim, 0.1), 25, 1};
    if (s.HeightTo(rim) > 0.04) return {rim, 25, 1};
    if (s.hand[0] > -0.2) return {{s.hand[0] - 0.1, 0.6, s.hand[2]}, 25, 1};
    return {rim + Vec3{-0.1, 0, 0}, 25, 1};
  }
};

const RegisterTask<PlateSlideSide> kRegisterPlateSlideSide;

}  // namespace
}  // namespace mentor::envs::metaworld
