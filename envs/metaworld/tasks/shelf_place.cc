// shelf-place-v3: pick up a block and place it on a shelf.
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class ShelfPlace : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "shelf-place-v3",
      .summary = "Pick up a block and place it on a shelf (Meta-World).",
      .xml = "sawyer_xyz/sawyer_shelf_placing.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.5, 0.019, -0.1, 0.8, 0.299},
                   .high = {0.1, 0.6, 0.021, 0.1, 0.9, 0.301},
                   .start_goal_min = 0.1},
  };

  explicit ShelfPlace(Names& names) : PuckTask(names), shelf_(names.Body("shelf")) {}

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    const Vec3 block = {v[0], v[1], w.At(puck_)[2]};
    const Vec3 base = v.Tail() - Vec3{0, 0, 0.3};
    w.SetBodyPos(shelf_, base);
    w.Forward();
    e.obj0 = block;
    e.target = w.ModelAt(goal_) + base;
    w.PutObject(block);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.02, 0.05, 0, 0.01, 1, CageShape::kPlain});
    double reward = H(grasp, place);
    // Below the shelf there is no way up to the goal.
    const double front = e.target[1] - 0.15;
    const bool low =
        s.o[2] > 0 && s.o[2] < 0.24 && s.o[0] > e.target[0] - 0.15 && s.o[0] < e.target[0] + 0.15;
    if (low && s.o[1] > front && s.o[1] < e.target[1]) {
      place = Clip(place - H((s.o[1] - front) / 0.15, (0.24 - s.o[2]) / 0.24), 0, 1);
    }
    if (low && s.o[1] > e.target[1]) place = 0;
    if (d < 0.025 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (dt < 0.05) reward = 10;
    return {reward, dt <= 0.07, d <= 0.03, Grasped(s, e), grasp, place, dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 block = s.o + Vec3{-0.005, 0, 0.015};
    const double grip = s.Near(s.o, 0.04, 0.15) ? 0.7 : -1;
    if (s.LevelTo(block) > 0.04) return {Above(block, 0.3), 25, grip};
    if (s.HeightTo(block) > 0.04) return {block, 25, grip};
    if (std::abs(s.hand[0] - s.goal[0]) > 0.02) return {{s.goal[0], s.hand[1], 0.3}, 25, grip};
    if (s.hand[2] < 0.3) return {Above(s.hand, 0.3), 25, grip};
    return {s.hand + Vec3{0, 0.05, 0}, 25, grip};
  }

 private:
  const BodyId shelf_;
};

const RegisterTasks<ShelfPlace> kRegisterShelfPlace;

}  // namespace
}  // namespace mentor::envs::metaworld
