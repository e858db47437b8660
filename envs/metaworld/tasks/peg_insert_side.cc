// peg-insert-side-v3: insert a peg sideways into a box.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class PegInsertSide : public Task {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "peg-insert-side-v3",
      .summary = "Insert a peg sideways into a box (Meta-World).",
      .xml = "sawyer_xyz/sawyer_peg_insertion_side.xml",
      .hand0 = {0, 0.6, 0.2},
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
    const double d = Norm(s.o - s.tcp);
    const double dt = Norm((head - e.target) * k);
    const double straight = T(dt, 0.07, Norm((e.head0 - e.target) * k));
    // The boxes that the peg's head is to avoid.
    const double box_1 = RectangularPrism(head, w.At(bottom_right_1_), w.At(top_left_1_));
    const double box_2 = RectangularPrism(head, w.At(bottom_right_2_), w.At(top_left_2_));
    const double place = H(straight, H(box_2, box_1));
    const bool lifted = s.g > 0 && s.o[2] - 0.01 > e.obj0[2];
    const bool held = d < 0.08 && lifted;
    const double grasp = held ? 1
                              : Cage(s, e, s.o,
                                     {.radius = 0.0075,
                                      .pad_margin = 0.03,
                                      .xz_bound = 0.005,
                                      .effort = 1,
                                      .density = CageShape::kHigh});
    double reward = H(grasp, place);
    if (held) reward += 1 + 5 * place;
    if (dt <= 0.07) reward = 10;
    return {.reward = reward,
            .success = dt <= 0.07,
            .near_object = d <= 0.03,
            .grasp_success = d < 0.02 && lifted,
            .grasp_reward = grasp,
            .in_place_reward = place,
            .obj_to_target = dt};
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

const RegisterTask<PegInsertSide> kRegisterPegInsertSide;

}  // namespace
}  // namespace mentor::envs::metaworld
