// reach-v3: bring the gripper to a point.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class Reach : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "reach-v3",
      .summary = "Bring the gripper to a point in the air (Meta-World).",
      .xml = "sawyer_xyz/sawyer_reach_v3.xml",
      .hand0 = {0, 0.6, 0.2},
      .mocap_low = {-0.5, 0.4, 0.05},
      .mocap_high = {0.5, 1, 0.5},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.05},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.3},
                   .refused_when = "n(v[0:2] - v[3:5]) < 0.15",
                   .refuses = [](const RandVec& v) { return v.StartGoalDistance() < 0.15; }},
      .goal_low = {-0.1, 0.8, 0.05},
      .goal_high = {0.1, 0.9, 0.3},
  };

  explicit Reach(Names& names)
      : puck_(names.Body("obj")), puck_geom_(names.Geom("objGeom")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(puck_), w.R(puck_geom_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.SetQpos(9, e.obj0);
    w.ZeroQvel(9, 15);
    w.Forward();
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.tcp - e.target);
    const double place = T(dt, 0.05, Norm(s.hand0 - e.target));
    return {.reward = 10 * place,
            .success = dt <= 0.05,
            .near_object = dt,  // The distance itself, here and below: as in the reference.
            .grasp_success = 1,
            .grasp_reward = dt,
            .in_place_reward = place,
            .obj_to_target = dt};
  }

 private:
  const BodyId puck_;
  const GeomId puck_geom_;
  const SiteId goal_;
};

const RegisterTask<Reach> kRegister;

}  // namespace
}  // namespace mentor::envs::metaworld
