// stick-push-v3: take a stick and push a container with it.
#include "envs/metaworld/tasks/stick.h"

namespace mentor::envs::metaworld {
namespace {

class StickPush : public StickTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "stick-push-v3",
      .summary = "Take a stick and push a container with it (Meta-World).",
      .xml = "sawyer_xyz/sawyer_stick_obj.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.08, 0.58, 0, 0.399, 0.55, 0.1319},
                   .high = {-0.03, 0.62, 0.001, 0.401, 0.6, 0.1321},
                   .start_goal_min = 0.1},
      .goal_low = {0.399, 0.55, 0.1319},
      .goal_high = {0.401, 0.6, 0.1321},
  };

  using StickTask::StickTask;

  Objects Observe(const World& w) const override {
    return {w.At(stick_), w.R(stick_), w.At(insertion_) + Vec3{0, 0.09, 0}, {}};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {v[3], v[4], w.At(insertion_)[2]}, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 stick = s.o + Vec3{0.015, 0, 0};
    const double d = Norm(stick - s.tcp);
    const double dt = Norm(s.o2 - e.target);
    const double place = T(Norm(stick - e.target), 0.12, Norm(e.stick0 - e.target) - 0.12);
    const double pushed = T(dt, 0.12, Norm(e.obj0 - e.target) - 0.12);
    const bool held = d < 0.02 && s.g > 0 && stick[2] - 0.01 > e.stick0[2];
    const double cage = Cage(s, e, stick,
                             {.radius = 0.04,
                              .pad_margin = 0.05,
                              .xz_bound = 0.01,
                              .effort = 1,
                              .density = CageShape::kHigh},
                             e.stick0);
    const bool grasped = Grasped(s, stick_geom_, e.stick0[2], /*lift=*/0.01);
    const double carried = dt <= 0.12 ? 10 : 2 + 5 * place + 3 * pushed;
    return {.reward = held ? carried : cage,
            .success = grasped && dt <= 0.12,
            .near_object = d <= 0.03,
            .grasp_success = grasped,
            .grasp_reward = held ? 1 : cage,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    return Carry(s, s.o + Vec3{0.015, 0, 0.03}, s.o2, Above(s.goal, 0.132), 10);
  }
};

const RegisterTask<StickPush> kRegisterStickPush;

}  // namespace
}  // namespace mentor::envs::metaworld
