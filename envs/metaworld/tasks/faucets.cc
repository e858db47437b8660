// What faucet-open and faucet-close share: a lever that is turned to the right or to the left.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class FaucetTask : public Task {
 public:
  Objects Observe(const World& w) const override {
    return {w.At(lever_) + Vec3{0, 0, -0.01}, w.Orientation(base_)};
  }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    w.SetBodyPos(base_, e.obj0);
    e.target = e.obj0 + Vec3{0.175 * turn_, 0, 0.125};
    w.SetSitePos(goal_, e.target);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 beside = s.o + Vec3{-0.04 * turn_, 0, 0.03};
    if (s.LevelTo(beside) > 0.04) return {Above(beside, 0.1), 25, 1};
    if (s.HeightTo(beside) > 0.04) return {beside, 25, 1};
    return {beside + Vec3{0.1 * turn_, 0.05, 0}, 25, 1};
  }

 protected:
  // turn: 1 turns to positive x, -1 to negative x.
  FaucetTask(Names& names, double turn, const char* lever, const char* goal)
      : turn_(turn),
        base_(names.Body("faucetBase")),
        lever_(names.Site(lever)),
        goal_(names.Site(goal)) {}

  // x: the point of the lever that is to be pushed.
  static Outcome Turned(const StepView& s, const Episode& e, const Vec3& x) {
    const double dt = Norm(x - e.target);
    const double place = T(dt, 0.07, std::abs(Norm(e.obj0 - e.target) - 0.07));
    const double d = Norm(x - s.tcp);
    const double grasp = G(d, 0.01, std::abs(Norm(e.obj0 - e.tcp0) - 0.01));
    const bool success = dt <= 0.07;
    return {success ? 10 : 2 * (2 * grasp + 3 * place), success, d <= 0.01, 1, grasp, place, dt};
  }

 private:
  const double turn_;
  const BodyId base_;
  const SiteId lever_, goal_;
};

// faucet-close-v3: turn a faucet's lever to the left.
class FaucetClose : public FaucetTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "faucet-close-v3",
      .summary = "Turn a faucet off (Meta-World).",
      .xml = "sawyer_xyz/sawyer_faucet.xml",
      .hand0 = {0, 0.4, 0.2},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.1, 0.8, 0}, .high = {0.1, 0.85, 0}},
  };

  explicit FaucetClose(Names& names)
      : FaucetTask(names, /*turn=*/-1, "handleStartClose", "goal_close") {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    FaucetTask::Reset(v, w, e);
    w.Forward();
  }

  Outcome Reward(const StepView& s, Episode& e) const override { return Turned(s, e, s.o); }
};

// faucet-open-v3: turn a faucet's lever to the right.
class FaucetOpen : public FaucetTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "faucet-open-v3",
      .summary = "Turn a faucet on (Meta-World).",
      .xml = "sawyer_xyz/sawyer_faucet.xml",
      .hand0 = {0, 0.4, 0.2},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 3, .low = {-0.05, 0.8, 0}, .high = {0.05, 0.85, 0}},
  };

  explicit FaucetOpen(Names& names)
      : FaucetTask(names, /*turn=*/1, "handleStartOpen", "goal_open") {}

  Outcome Reward(const StepView& s, Episode& e) const override {
    return Turned(s, e, s.o + Vec3{-0.04, 0, 0.03});
  }
};

const RegisterTasks<FaucetClose, FaucetOpen> kRegisterFaucets;

}  // namespace
}  // namespace mentor::envs::metaworld
