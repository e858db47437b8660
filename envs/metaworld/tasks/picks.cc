// Tasks in which the puck or a block is lifted.
#include "envs/metaworld/tasks/approach.h"
#include "envs/metaworld/tasks/puck.h"

namespace mentor::envs::metaworld {
namespace {

class PickPlace : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "pick-place-v3",
      .summary = "Pick up a puck and place it at a goal in the air (Meta-World).",
      .xml = "sawyer_xyz/sawyer_pick_place_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.02, -0.1, 0.8, 0.05},
                   .high = {0.1, 0.7, 0.02, 0.1, 0.9, 0.3},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = CagePick(s, e, s.o);
    double reward = H(grasp, place);
    if (s.d < 0.02 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = Norm(s.hand - s.o) < 0.07 ? 1 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.1), 10, grip};
    if (s.HeightTo(puck) > 0.05 && puck[2] < 0.04) return {Above(puck, 0.03), 10, grip};
    if (s.g > 0.73) return {s.hand, 10, grip};  // The fingers are still closing.
    return {s.goal, 10, grip};
  }
};

class PickPlaceWall : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "pick-place-wall-v3",
      .summary = "Pick up a puck and place it at a goal behind a wall (Meta-World).",
      .xml = "sawyer_xyz/sawyer_pick_place_wall_v3.xml",
      .rand_vec = {.size = 6,
                   .low = {-0.05, 0.6, 0.015, -0.05, 0.85, 0.05},
                   .high = {0.05, 0.65, 0.015, 0.05, 0.9, 0.3},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_geom_), w.R(puck_geom_)}; }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const Vec3 mid = {e.target[0], 0.77, 0.25}, k = {1, 1, 3};  // Above the wall.
    const double p1 = T(Norm((s.o - mid) * k), 0.05, Norm((e.obj0 - mid) * k));
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kPlain});
    double reward = H(grasp, p1);
    if (s.d < 0.02 && s.g > 0 && s.o[2] - 0.015 > e.obj0[2]) {
      reward += s.o[1] > 0.75 ? 5 + 3 * place : 1 + 4 * p1;
    }
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = s.o + Vec3{-0.005, 0, 0};
    const double grip = s.Near(s.o, 0.015, 0.1) ? 0.9 : 0;
    const auto to = [&](const Vec3& p) { return Advice{p, 10, grip}; };
    if (s.LevelTo(puck) > 0.015) return to(Above(puck, 0.1));
    if (s.HeightTo(puck) > 0.04 && puck[2] < 0.03) return to(Above(puck, 0.03));
    const bool at_wall =
        s.hand[0] >= -0.15 && s.hand[0] <= 0.35 && s.hand[1] >= 0.6 && s.hand[1] <= 0.8;
    if (at_wall && s.hand[2] < 0.25) return to(Above(s.hand, 1));
    if (at_wall && s.hand[2] < 0.35) return to({s.goal[0], s.goal[1], s.hand[2]});
    if (s.HeightTo(s.goal) > 0.01) return to({s.hand[0], s.hand[1], s.goal[2]});
    return to(s.goal);
  }
};

class PickOutOfHole : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "pick-out-of-hole-v3",
      .summary = "Pick a puck out of a hole and bring it to a goal (Meta-World).",
      .xml = "sawyer_xyz/sawyer_pick_out_of_hole.xml",
      .mocap_low = {-0.5, 0.4, -0.05},
      .rand_vec = {.size = 6,
                   .low = {0, 0.75, 0.02, -0.1, 0.5, 0.15},
                   .high = {0, 0.75, 0.02, 0.1, 0.6, 0.3},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_), w.Orientation(puck_)}; }

  Outcome Reward(const StepView& s, Episode& e) const override {
    // A funnel above the hole keeps the fingers off its rim.
    const double rho = Norm(s.tcp[0] - e.obj0[0], s.tcp[1] - e.obj0[1]);
    const double floor = Funnel(rho, 0.03, /*slope=*/0.015, /*height=*/0.15);
    const double above = s.tcp[2] >= floor ? 1 : T(floor - s.tcp[2], 0.01, 0.02);
    const double grasp = Cage(s, e, s.o, {0.015, 0.02, 0, 0.03, 0.1, CageShape::kHigh});
    const double place = T(s.dt, 0.02, Norm(e.obj0 - e.target));
    const bool held = s.d < 0.04 && s.o[2] - 0.02 > e.obj0[2] && s.g >= 0.33;
    double reward = H(grasp, place);
    if (held) reward += 1 + 5 * H(place, above);
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, held, grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const Vec3 puck = Above(s.o, 0.02);
    const double grip = s.Near(puck, 0.02, 0.15) ? 0.1 : 0;
    if (s.LevelTo(puck) > 0.02) return {Above(puck, 0.15), 25, grip};
    if (s.HeightTo(puck) > 0.01) return {puck, 25, grip};
    if (s.HeightTo(s.goal) > 0.04) return {{s.hand[0], s.hand[1], s.goal[2]}, 25, grip};
    return {s.goal, 25, grip};
  }
};

class HandInsert : public PuckTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "hand-insert-v3",
      .summary = "Bring a block into a hole of the table (Meta-World).",
      .xml = "sawyer_xyz/sawyer_table_with_hole.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .mocap_low = {-0.5, 0.4, -0.15},
      .rand_vec = {.size = 6,
                   .low = {-0.1, 0.6, 0.05, -0.04, 0.8, -0.0201},
                   .high = {0.1, 0.7, 0.05, 0.04, 0.88, -0.0199},
                   .start_goal_min = 0.15},
  };

  using PuckTask::PuckTask;

  Objects Observe(const World& w) const override { return {w.At(puck_), w.Orientation(puck_)}; }

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    Settle(w, e, {v[0], v[1], 0.05}, v.Tail());
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = Cage(s, e, s.o, {0.015, 0.05, 0, 0.005, 1, CageShape::kHigh});
    double reward = H(grasp, place) + (s.d < 0.02 && s.g > 0 ? 1 + 7 * place : 0);
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.05, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
  }

  Advice Script(const Sight& s) const override {
    const double grip = s.Near(s.o, 0.02, 0.1) ? 0.65 : 0;
    if (s.LevelTo(s.o) > 0.02) return {Above(s.o, 0.1), 10, grip};
    if (s.HeightTo(s.o) > 0.05) return {Above(s.o, 0.03), 10, grip};
    if (s.LevelTo(s.goal) > 0.04) return {{s.goal[0], s.goal[1], s.hand[2]}, 10, grip};
    return {s.goal, 10, grip};
  }
};

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
    double place = T(s.dt, 0.05, Norm(e.obj0 - e.target));
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
    if (s.d < 0.025 && s.g > 0 && s.o[2] - 0.01 > e.obj0[2]) reward += 1 + 5 * place;
    if (s.dt < 0.05) reward = 10;
    return {reward, s.dt <= 0.07, s.d <= 0.03, Grasped(s, e), grasp, place, s.dt};
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

const RegisterTasks<PickPlace, PickPlaceWall, PickOutOfHole, HandInsert, ShelfPlace> kRegisterPicks;

}  // namespace
}  // namespace mentor::envs::metaworld
