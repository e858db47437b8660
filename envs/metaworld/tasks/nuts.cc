// What the tasks with a nut and a peg share: the nut is seen where its handle is.
#include "envs/metaworld/tasks/approach.h"

namespace mentor::envs::metaworld {
namespace {

class NutTask : public Task {
 public:
  explicit NutTask(Names& names)
      : nut_(names.Body("RoundNut")),
        peg_(names.Body("peg")),
        handle_(names.Site("RoundNut-8")),
        centre_(names.Site("RoundNut")),
        peg_top_(names.Site("pegTop")) {}

  Objects Observe(const World& w) const override { return {w.At(handle_), w.Orientation(nut_)}; }

 protected:
  const BodyId nut_, peg_;
  const SiteId handle_, centre_, peg_top_;
};

class Assembly : public NutTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "assembly-v3",
      .summary = "Pick up a nut and put it on a peg (Meta-World).",
      .xml = "sawyer_xyz/sawyer_assembly_peg.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.6, 0.02, -0.1, 0.75, 0.1},
                   .high = {0, 0.6, 0.02, 0.1, 0.85, 0.1},
                   .start_goal_min = 0.1},
  };

  using NutTask::NutTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.PutObject(e.obj0);
    w.SetBodyPos(peg_, e.target - Vec3{0, 0, 0.05});
    w.SetSitePos(peg_top_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double upright = Aligned(s.q, {0.707, 0, 0, 0.707}, 0.4);
    const double grasp =
        Cage(s, e, GripAlongX(s, 0.01), {0.015, 0.02, 0.01, 0.01, 1, CageShape::kMedium});
    // The nut comes to the peg from above, and is done when the peg's top is inside and above it.
    const Vec3 centre = s.world.At(centre_);
    const Vec3 off = e.target - centre;
    const double rho = Norm(off[0], off[1]);
    const bool success = rho < 0.02 && off[2] > 0;
    const double radius = success ? 0.02 : 0.01;
    const double height = Funnel(rho, radius, 0.02, 0.2);
    const bool lifted = centre[2] > 0.02 || rho < radius;
    const double place =
        0.1 * lifted + 0.9 * T(Norm(Vec3{off[0], off[1], 3 * (height - centre[2])}), 0.02, 0.4);
    const double reward = success ? 10 : (2 * grasp + 6 * place) * upright;
    return {reward, success, upright, grasp >= 0.5, grasp, place, 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{-0.02, 0, 0};
    const Vec3 over_peg = s.goal + Vec3{0.12, 0, 0.14};
    const double grip = s.Near(handle, 0.02, 0.12) ? 0.6 : 0;
    if (s.LevelTo(handle) > 0.02) return {Above(handle, 0.1), 10, grip};
    if (s.LevelTo(over_peg) <= 0.02) return {Above(over_peg, -0.2), 10, grip};
    if (s.HeightTo(handle) > 0.05) return {Above(handle, 0.03), 10, grip};
    if (s.HeightTo(over_peg) > 0.04) return {{s.hand[0], s.hand[1], over_peg[2]}, 10, grip};
    return {over_peg, 10, grip};
  }
};

class Disassemble : public NutTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "disassemble-v3",
      .summary = "Lift a nut off a peg (Meta-World).",
      .xml = "sawyer_xyz/sawyer_assembly_peg.xml",
      .hand0 = {0, 0.4f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.6, 0.025, -0.1, 0.6, 0.1699},
                   .high = {0.1, 0.75, 0.02501, 0.1, 0.75, 0.1701},
                   .start_goal_min = 0.1},
      .goal_low = {-0.1, 0.6, 0.1749},
      .goal_high = {0.1, 0.75, 0.1751},
  };

  using NutTask::NutTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.target = Above(e.obj0, 0.15);  // The goal part of v is not used.
    w.SetBodyPos(peg_, Above(e.obj0, 0.03));
    w.SetSitePos(peg_top_, Above(e.obj0, 0.08));
    w.Forward();
    w.PutObject(e.obj0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double upright = Aligned(s.q, {0.707, 0, 0, 0.707}, 0.4);
    const double grasp =
        Cage(s, e, GripAlongX(s, 0.01), {0.015, 0.02, 0, 0.01, 1, CageShape::kHigh});
    const Vec3 centre = s.world.At(centre_);
    const double place =
        0.1 * (centre[2] > 0.02) + 0.9 * T(Norm(Above(e.target, 0.1) - centre), 0.02, 0.2);
    const bool success = s.o[2] > e.target[2];
    const double reward = success ? 10 : (2 * grasp + 6 * place) * upright;
    return {reward, success, upright, grasp >= 0.5, grasp, place, 0};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 handle = s.o + Vec3{-0.02, 0, 0.01};
    const double grip = s.Near(handle, 0.02, 0.07) ? 0.8 : 0;
    if (s.LevelTo(handle) > 0.02) return {Above(handle, 0.1), 10, grip};
    if (s.HeightTo(handle) > 0.03) return {handle, 10, grip};
    return {Above(s.hand, 0.1), 10, grip};
  }
};

const RegisterTasks<Assembly, Disassemble> kRegisterNuts;

}  // namespace
}  // namespace mentor::envs::metaworld
