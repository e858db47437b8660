// What the two tasks share that move a mug in front of a coffee machine: coffee-pull and
// coffee-push.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class CoffeeMug : public Task {
 public:
  Objects Observe(const World& w) const override { return {w.At(mug_), w.R(mug_geom_)}; }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 k = {2, 2, 1};
    const double scaled = Norm((s.o - e.target) * k);
    const double place = T(scaled, 0.05, Norm((e.obj0 - e.target) * k));
    const double grasp = Cage(s, e, s.o, {0.02, 0.05, 0.04, 0.05, 0.7, CageShape::kMedium});
    double reward = H(grasp, place) + (s.d < 0.04 && s.g > 0 ? 1 + 5 * place : 0);
    if (scaled < 0.05) reward = 10;
    const bool held = s.g > 0 && s.world.Touching(mug_geom_);
    return {reward, s.dt <= 0.07, s.d <= 0.03, held, grasp, place, s.dt};
  }

 protected:
  explicit CoffeeMug(Names& names)
      : mug_(names.Body("obj")),
        machine_(names.Body("coffee_machine")),
        mug_geom_(names.Geom("mug")),
        goal_(names.Site("mug_goal")) {}

  // The mug goes from v[0:3] to v[3:6]; at `outlet` it stands under the machine's outlet.
  void Place(const RandVec& v, const Vec3& outlet, World& w, Episode& e) const {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.SetQpos(0, e.obj0);
    w.ZeroQvel(9, 15);  // Speeds of the arm: the mug's are the first six.
    w.Forward();
    w.SetBodyPos(machine_, outlet + Vec3{0, 0.22, 0});
    w.SetSitePos(goal_, e.target);
  }

  // Effort of the fingers: they close when they are around the mug.
  static double Grip(const Sight& s, double effort) {
    const Vec3 mug = s.o + Vec3{0.01, 0, 0.05};
    return s.Near(mug, 0.06, 0.1) ? effort : -1;
  }

 private:
  const BodyId mug_, machine_;
  const GeomId mug_geom_;
  const SiteId goal_;
};

class CoffeePull : public CoffeeMug {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "coffee-pull-v3",
      .summary = "Pull a mug from a coffee machine (Meta-World).",
      .xml = "sawyer_xyz/sawyer_coffee.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.7, -0.001, -0.1, 0.55, -0.001},
                   .high = {0.05, 0.75, 0.001, 0.1, 0.65, 0.001},
                   .start_goal_min = 0.15},
  };

  explicit CoffeePull(Names& names) : CoffeeMug(names) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Place(v, /*outlet=*/v.Head(), w, e);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 mug = s.o + Vec3{-0.005, 0, 0.05};
    const double grip = Grip(s, 0.7);
    if (s.LevelTo(mug) > 0.06) return {Above(mug, 0.15), 10, grip};
    if (s.HeightTo(mug) > 0.02) return {mug, 10, grip};
    return {s.goal, 10, grip};
  }
};

class CoffeePush : public CoffeeMug {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "coffee-push-v3",
      .summary = "Push a mug under a coffee machine (Meta-World).",
      .xml = "sawyer_xyz/sawyer_coffee.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.55, -0.001, -0.05, 0.7, -0.001},
                   .high = {0.1, 0.65, 0.001, 0.05, 0.75, 0.001},
                   .start_goal_min = 0.15},
  };

  explicit CoffeePush(Names& names) : CoffeeMug(names) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Place(v, /*outlet=*/v.Tail(), w, e);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 mug = s.o + Vec3{0.01, 0, 0.05};
    const double grip = Grip(s, 0.5);
    if (s.LevelTo(mug) > 0.06) return {Above(mug, 0.2), 10, grip};
    if (s.HeightTo(mug) > 0.02) return {mug, 10, grip};
    return {{s.goal[0], s.goal[1], 0.1}, 10, grip};
  }
};

const RegisterTasks<CoffeePull, CoffeePush> kRegisterCoffeeMugs;

}  // namespace
}  // namespace mentor::envs::metaworld
