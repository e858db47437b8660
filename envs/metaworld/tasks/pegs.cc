// Tasks with a peg in a hole.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class PegInsertSide : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "peg-insert-side-v3",
      .summary = "Insert a peg sideways into a box (Meta-World).",
      .xml = "sawyer_xyz/sawyer_peg_insertion_side.xml",
      .rand_vec = {.size = 6,
                   .low = {0, 0.5, 0.02, -0.35, 0.4, -0.001},
                   .high = {0.2, 0.7, 0.02, -0.25, 0.7, 0.001},
                   .start_goal_min = 0.1},
      .goal_low = {-0.35 + 0.03, 0.4, -0.001 + 0.13},
      .goal_high = {-0.22, 0.7, 0.131},
  };

  explicit PegInsertSide(Names& names)
      : box_(names.Body("box")),
        peg_(names.Site("pegGrasp")),
        head_(names.Site("pegHead")),
        goal_(names.Site("goal")),
        bottom_right_1_(names.Site("bottom_right_corner_collision_box_1")),
        top_left_1_(names.Site("top_left_corner_collision_box_1")),
        bottom_right_2_(names.Site("bottom_right_corner_collision_box_2")),
        top_left_2_(names.Site("top_left_corner_collision_box_2")) {}

  Objects Observe(const World& w) const override { return {w.At(peg_), w.R(peg_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    e.obj0 = v.Head();
    e.head0 = w.At(head_);
    w.PutObject(e.obj0);
    w.SetBodyPos(box_, v.Tail());
    e.target = v.Tail() + Vec3{0.03, 0, 0.13};
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const World& w = s.world;
    const Vec3 k = {1, 2, 2};
    const Vec3 head = w.At(head_);
    const double dt = Norm((head - e.target) * k);
    const double straight = T(dt, 0.07, Norm((e.head0 - e.target) * k));
    // The boxes that the peg's head is to avoid.
    const double box_1 = RectangularPrism(head, w.At(bottom_right_1_), w.At(top_left_1_));
    const double box_2 = RectangularPrism(head, w.At(bottom_right_2_), w.At(top_left_2_));
    const double place = H(straight, H(box_2, box_1));
    const bool lifted = s.g > 0 && s.o[2] - 0.01 > e.obj0[2];
    const bool held = s.d < 0.08 && lifted;
    const double grasp = held ? 1 : Cage(s, e, s.o, {0.0075, 0.03, 0, 0.005, 1, CageShape::kHigh});
    double reward = H(grasp, place);
    if (held) reward += 1 + 5 * place;
    if (dt <= 0.07) reward = 10;
    return {reward, dt <= 0.07, s.d <= 0.03, s.d < 0.02 && lifted, grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 hole = {-0.35, s.goal[1], 0.16};
    const double grip = s.Near(s.o, 0.04, 0.15) ? 0.6 : -1;
    if (s.LevelTo(s.o) > 0.04) return {Above(s.o, 0.3), 25, grip};
    if (s.HeightTo(s.o) > 0.025) return {s.o, 25, grip};
    const bool in_line = Norm(s.o[1] - hole[1], s.o[2] - hole[2]) <= 0.03;
    return {in_line ? hole : hole + Vec3{0.4, 0, 0}, 25, grip};
  }

 private:
  const BodyId box_;
  const SiteId peg_, head_, goal_;
  const SiteId bottom_right_1_, top_left_1_, bottom_right_2_, top_left_2_;
};

class PegUnplugSide : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "peg-unplug-side-v3",
      .summary = "Pull a plug sideways out of its socket (Meta-World).",
      .xml = "sawyer_xyz/sawyer_peg_unplug_side.xml",
      .rand_vec = {.size = 3, .low = {-0.25, 0.6, -0.001}, .high = {-0.15, 0.8, 0.001}},
      .goal_low = {-0.25 + 0.194, 0.6, 0.13},
      .goal_high = {-0.15 + 0.194, 0.8, 0.132},
  };

  explicit PegUnplugSide(Names& names)
      : box_(names.Body("box")),
        plug_(names.Body("plug1")),
        end_(names.Site("pegEnd")),
        goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(end_), w.Orientation(plug_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(box_, v.Head());
    const Vec3 plug = v.Head() + Vec3{0.044, 0, 0.131};
    w.SetQpos(9, plug);
    w.SetQpos(12, std::array{1.0, 0.0, 0.0, 0.0});
    w.ZeroQvel(9, 12);  // The plug continues to turn as before.
    w.Forward();
    e.obj0 = Observe(w).position;
    e.target = plug + Vec3{0.15, 0, 0};
    w.SetSitePos(goal_, e.target);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double grasp = Cage(s, e, s.o, {0.025, 0.05, 0, 0.005, 0.8, CageShape::kHigh});
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const bool pulled = s.g > 0.5 && s.o[0] - e.obj0[0] > 0.015;
    double reward = pulled && s.d < 0.035 ? 1 + 2 * grasp + 5 * place : 2 * grasp;
    if (s.dt <= 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, pulled, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 plug = s.o + Vec3{-0.02, 0, 0.035};
    const double grip = s.Near(plug, 0.04, 0.15) ? 0.1 : -1;
    if (s.LevelTo(plug) > 0.04) return {Above(plug, 0.2), 25, grip};
    if (std::abs(s.hand[2] - 0.15) > 0.02) return {{plug[0], plug[1], 0.15}, 25, grip};
    return {s.hand + Vec3{0.01, 0, 0}, 25, grip};
  }

 private:
  const BodyId box_, plug_;
  const SiteId end_, goal_;
};

const RegisterTasks<PegInsertSide, PegUnplugSide> kRegisterPegs;

}  // namespace
}  // namespace mentor::envs::metaworld
