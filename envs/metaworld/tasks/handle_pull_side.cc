// handle-pull-side-v3: pull a handle up from the side.
#include "envs/metaworld/tasks/handle.h"

namespace mentor::envs::metaworld {
namespace {

class HandlePullSide : public HandleTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "handle-pull-side-v3",
      .summary = "Pull a handle up from the side (Meta-World).",
      .xml = "sawyer_xyz/sawyer_handle_press_sideways.xml",
      .hand0 = {0, 0.6, 0.2},
      .rand_vec = {.size = 3, .low = {-0.35, 0.65, 0}, .high = {-0.25, 0.75, 0}},
      .goal_low = {-0.5, 0.4, 0.05},
      .goal_high = {0.5, 1, 0.5},
  };

  explicit HandlePullSide(Names& names) : HandleTask(names, "handleCenter", "goalPull") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(v, w, e, -0.1);
    e.obj0 = Observe(w).position;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double d = Norm(s.o - s.tcp);
    const double grasp = Cage(s, e, s.o,
                              {.radius = 0.032,
                               .pad_margin = 0.06,
                               .xz_bound = 0.01,
                               .effort = 1,
                               .density = CageShape::kHigh});
    double reward = H(grasp, place);
    if (d < 0.035 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.08,
            .near_object = d <= 0.05,
            .grasp_success = s.g > 0 && s.o[2] - 0.03 > e.obj0[2],
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.04, 0.04) ? 0.6 : 0;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.1), 25, grip};
    if (s.HeightTo(s.o) > 0.03) return {s.o, 25, grip};
    return {Above(s.o, 1), 25, grip};
  }
};

const RegisterTask<HandlePullSide> kRegisterHandlePullSide;

}  // namespace
}  // namespace mentor::envs::metaworld
