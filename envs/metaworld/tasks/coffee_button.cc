// coffee-button-v3: press the button of a coffee machine.
#include "envs/metaworld/tasks/button.h"

namespace mentor::envs::metaworld {
namespace {

class CoffeeButton : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "coffee-button-v3",
      .summary = "Press the button of a coffee machine (Meta-World).",
      .xml = "sawyer_xyz/sawyer_coffee.xml",
      .hand0 = {0, 0.4, 0.2},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, -0.001}, .high = {0.1, 0.9, 0.001}},
      .goal_low = {-0.101, 0.6100000000000001, 0.298},
      .goal_high = {0.101, 0.71, 0.302},
  };

  explicit CoffeeButton(Names& names)
      : machine_(names.Body("coffee_machine")), button_(names.Site("buttonStart")) {}

  Objects Observe(const World& w) const override { return {w.At(button_), {1, 0, 0, 0}}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(machine_, e.obj0);
    w.SetQpos(0, e.obj0 + Vec3{0, -0.22, 0});  // The mug.
    w.ZeroQvel(9, 15);                         // Speeds of the arm: the mug's are the first six.
    w.Forward();
    e.target = e.obj0 + Vec3{0, -0.22, 0.3} + Vec3{0, 0.03, 0};
    e.press0 = 0.03;
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Press p(s, e, /*axis=*/1, /*near_bound=*/0.05);
    return p.Result(s, 2 * H(s.g, p.near) + (p.d <= 0.05 ? 8 * p.pressed : 0), p.dt <= 0.02);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 button = Above(s.o, -0.07);
    const bool aligned = Norm(s.hand[0] - button[0], s.hand[2] - button[2]) <= 0.02;
    const double y = aligned ? button[1] + 0.2 : s.hand[1];
    return {.to = {button[0], y, button[2]}, .gain = 10, .grip = -1};
  }

 private:
  const BodyId machine_;
  const SiteId button_;
};

const RegisterTask<CoffeeButton> kRegisterCoffeeButton;

}  // namespace
}  // namespace mentor::envs::metaworld
