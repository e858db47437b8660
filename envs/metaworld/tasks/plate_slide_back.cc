// plate-slide-back-v3: draw a plate out of a cabinet.
#include "envs/metaworld/tasks/plate_slide.h"

namespace mentor::envs::metaworld {
namespace {

class PlateSlideBack : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-back-v3",
      .summary = "Draw a plate out of a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.85, 0, -0.1, 0.6, 0.015},
                   .high = {0, 0.85, 0, 0.1, 0.6, 0.015}},
      .goal_low = {-0.1, 0.6, 0.015},
      .goal_high = {0.1, 0.6, 0.015},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0.15); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.065, 0.025};
    if (s.LevelTo(rim) > 0.01) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    if (s.hand[1] > 0.7) return {s.hand + Vec3{0, -0.1, 0}, 10, -1};
    if (s.hand[1] > 0.6) return {{0.15, 0.55, s.hand[2]}, 10, -1};
    return {{s.hand[0] - 0.1, 0.55, s.hand[2]}, 10, -1};
  }
};

const RegisterTask<PlateSlideBack> kRegisterPlateSlideBack;

}  // namespace
}  // namespace mentor::envs::metaworld
