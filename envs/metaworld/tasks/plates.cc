// What the four plate-slide tasks share: a plate that slides on two joints, and a cabinet.
#include "envs/metaworld/task.h"

namespace mentor::envs::metaworld {
namespace {

class PlateSlideTask : public Task {
 public:
  explicit PlateSlideTask(Names& names)
      : plate_(names.Geom("puck")), cabinet_(names.Body("puck_goal")), goal_(names.Site("goal")) {}

  Objects Observe(const World& w) const override { return {w.At(plate_), w.R(plate_)}; }

  // The reward of three of them: the hand presses on the plate from above and draws it along.
  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target) - 0.05);
    const double grasp = T(d, 0.05, Norm(e.tcp0 - e.obj0) - 0.05);
    const double reward = s.tcp[2] <= 0.03 && d < 0.07 ? 2 + 7 * place : 1.5 * grasp;
    return Slid(reward, d, dt, grasp, place);
  }

 protected:
  void Settle(const RandVec& v, World& w, Episode& e, double x, double y) const {
    e.obj0 = v.Head();
    e.target = v.Tail();
    w.SetQpos(9, std::array{x, y});
    w.Forward();
    w.SetSitePos(goal_, e.target);
  }

  static Outcome Slid(double reward, double d, double dt, double grasp, double place) {
    return {dt < 0.05 ? 10 : reward, dt <= 0.07, d <= 0.03, 0, grasp, place, dt};
  }

  const GeomId plate_;
  const BodyId cabinet_;
  const SiteId goal_;
};

// plate-slide-v3: slide a plate into a cabinet.
class PlateSlide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-v3",
      .summary = "Slide a plate into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6, .low = {0, 0.6, 0, -0.1, 0.85, 0}, .high = {0, 0.6, 0, 0.1, 0.9, 0}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(cabinet_, v.Tail());
    Settle(v, w, e, 0, 0);
  }

  Outcome Reward(const StepView& s, Episode& e) const override {
    const double dt = Norm(s.o - e.target);
    const double d = Norm(s.o - s.tcp);
    const double place = T(dt, 0.05, Norm(e.obj0 - e.target));
    const double grasp = T(d, 0.05, Norm(e.tcp0 - e.obj0));
    return Slid(8 * H(grasp, place), d, dt, grasp, place);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.055, 0.03};
    if (s.LevelTo(rim) > 0.03) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    return {{s.goal[0], 0.9, rim[2]}, 10, -1};
  }
};

// plate-slide-back-v3: draw a plate out of a cabinet.
class PlateSlideBack : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-back-v3",
      .summary = "Draw a plate out of a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.85, 0, -0.1, 0.6, 0.015},
                   .high = {0, 0.85, 0, 0.1, 0.6, 0.015}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0.15); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0, -0.065, 0.025};
    if (s.LevelTo(rim) > 0.01) return {Above(rim, 0.1), 10, -1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, -1};
    if (s.hand[1] > 0.7) return {s.hand + Vec3{0, -0.1, 0}, 10, -1};
    if (s.hand[1] > 0.6) return {{0.15, 0.55, s.hand[2]}, 10, -1};
    return {{s.hand[0] - 0.1, 0.55, s.hand[2]}, 10, -1};
  }
};

// plate-slide-back-side-v3: draw a plate sideways out of a cabinet.
class PlateSlideBackSide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-back-side-v3",
      .summary = "Draw a plate sideways out of a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide_sideway.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {-0.25, 0.6, 0, -0.05, 0.6, 0.015},
                   .high = {-0.25, 0.6, 0, 0.15, 0.6, 0.015}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override {
    w.SetBodyPos(cabinet_, v.Head());
    Settle(v, w, e, -0.15, 0);
  }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0.023, 0, 0.025};
    if (s.LevelTo(rim) > 0.01) return {Above(rim, 0.07), 10, 1};
    if (s.HeightTo(rim) > 0.04) return {rim, 10, 1};
    return {{s.hand[0] + 0.1, 0.6, s.hand[2]}, 10, 1};
  }
};

// plate-slide-side-v3: slide a plate sideways into a cabinet.
class PlateSlideSide : public PlateSlideTask {
 public:
  static constexpr TaskFacts kFacts = {
      .name = "plate-slide-side-v3",
      .summary = "Slide a plate sideways into a cabinet (Meta-World).",
      .xml = "sawyer_xyz/sawyer_plate_slide_sideway.xml",
      .hand0 = {0, 0.6f, 0.2f},
      .rand_vec = {.size = 6,
                   .low = {0, 0.6, 0, -0.3, 0.54, 0},
                   .high = {0, 0.6, 0, -0.25, 0.66, 0}},
  };

  using PlateSlideTask::PlateSlideTask;

  void Reset(const RandVec& v, World& w, Episode& e) const override { Settle(v, w, e, 0, 0); }

  Advice Script(const Sight& s) const override {
    const Vec3 rim = s.o + Vec3{0.07, 0, -0.005};
    if (s.LevelTo(rim) > 0.04) return {Above(rim, 0.1), 25, 1};
    if (s.HeightTo(rim) > 0.04) return {rim, 25, 1};
    if (s.hand[0] > -0.2) return {{s.hand[0] - 0.1, 0.6, s.hand[2]}, 25, 1};
    return {rim + Vec3{-0.1, 0, 0}, 25, 1};
  }
};

const RegisterTasks<PlateSlide, PlateSlideBack, PlateSlideBackSide, PlateSlideSide> kRegisterPlates;

}  // namespace
}  // namespace mentor::envs::metaworld
