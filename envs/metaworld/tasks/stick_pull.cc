// stick-pull-v3: take a stick, put it through the handle of a container and pull.
#include "envs/metaworld/tasks/stick.h"

namespace mentor::envs::metaworld {
namespace {

class StickPull : public StickTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "stick-pull-v3",
      .summary = "Take a stick, put it through the handle of a container and pull (Meta-World).",
      .xml = "sawyer_xyz/sawyer_stick_obj.xml",
      .hand0 = {0, 0.6, 0.2},
      .mocap_low = {-0.5, 0.35, 0.05},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.55, 0, 0.35, 0.45, 0.0199},
                   .high = {0, 0.65, 0.001, 0.45, 0.55, 0.0201},
                   .start_goal_min = 0.1},
      .goal_low = {0.35, 0.45, 0.0199},
      .goal_high = {0.45, 0.55, 0.0201},
  };

  explicit StickPull(Names& names) : StickTask(names), stick_end_(names.Site("stick_end")) {}

  Objects Observe(const World& w) const override {
    return {w.At(stick_), w.R(stick_), w.At(insertion_), {}};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.02}, {v[3], v[4], 0.02}, 0.09);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 end = s.world.At(stick_end_);
    const Vec3 k = {1, 1, 2}, aside = {0.05, 0, 0};
    const Vec3 box = s.o2 + aside, box0 = e.obj0 + aside;
    const double d = Norm(s.o - s.tcp);
    const double dt = Norm(s.o2 - e.target);
    const double place = T(Norm((s.o - box) * k), 0.05, Norm((e.stick0 - box0) * k));
    const double stick_there = T(Norm(s.o - e.target), 0.05, Norm(e.stick0 - e.target));
    const double box_there = T(Norm(box - e.target), 0.05, Norm(e.obj0 - e.target));
    const bool held = d < 0.02 && s.g > 0 && s.o[2] - 0.01 > e.stick0[2];
    const double grasp = held ? 1
                              : Cage(s, e, s.o,
                                     {.radius = 0.014,
                                      .pad_margin = 0.05,
                                      .xz_bound = 0.01,
                                      .effort = 1,
                                      .density = CageShape::kHigh});
    const bool inserted = end[0] >= s.o2[0] && std::abs(end[1] - s.o2[1]) <= 0.04 &&
                          std::abs(end[2] - s.o2[2]) <= 0.06;
    double reward = H(grasp, place);
    if (held && inserted) {
      reward = dt <= 0.12 ? 10 : 6 + reward + 2 * stick_there + box_there;
    } else if (held) {
      reward = 1 + reward + 5 * place;
    }
    return {.reward = reward,
            .success = dt <= 0.12 && inserted,
            .near_object = d <= 0.03,
            .grasp_success = Grasped(s, stick_geom_, e.obj0[2]),
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 off = {-0.015, 0, 0.03};
    return Carry(s, s.o + off, s.o2 + off, s.goal + Vec3{-0.05, 0, 0}, 25);
  }

 private:
  const SiteId stick_end_;
};

const RegisterTask<StickPull> kRegisterStickPull;

}  // namespace
}  // namespace mentor::envs::metaworld
