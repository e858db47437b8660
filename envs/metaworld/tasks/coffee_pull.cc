// coffee-pull-v3: pull a mug away from a coffee machine.
#include "envs/metaworld/tasks/coffee_mug.h"

namespace mentor::envs::metaworld {
namespace {

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
      .goal_low = {-0.1, 0.55, -0.001},
      .goal_high = {0.1, 0.65, 0.001},
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

const RegisterTask<CoffeePull> kRegisterCoffeePull;

}  // namespace
}  // namespace mentor::envs::metaworld
