#include "envs/metaworld/task.h"

#include <cmath>

#include <absl/strings/str_format.h>

namespace mentor::envs::metaworld {

std::string RandVecBox::refused_when() const {
  if (start_goal_min == 0) return "";
  const std::string goal =
      fixed_goal ? absl::StrFormat("[%g,%g]", (*fixed_goal)[0], (*fixed_goal)[1]) : "v[3:5]";
  return absl::StrFormat("n(v[0:2] - %s) < %g", goal, start_goal_min);
}
namespace {

// cy of cageSweep and cagePick: both pads beside p, no nearer than `low` and no farther than
// `high`.
double PadsBeside(const StepView& s, const Vec3& p, double low, double high) {
  constexpr double kPadMargin = 0.05;
  const double left = s.world.LeftPad()[1] - p[1], right = p[1] - s.world.RightPad()[1];
  const auto side = [&](double x) { return T2(x, low, high, std::abs(std::abs(x) - kPadMargin)); };
  return H(side(right), side(left));
}

// cx: the fingers' centre over p, in the plane of x and z.
double Over(const StepView& s, const Episode& e, const Vec3& p, const Vec3& p0, double bound) {
  const Vec3 off = s.tcp - p, off0 = p0 - e.tcp0;
  return T(Norm(off[0], off[2]), bound, Norm(off0[0], off0[2]) - bound);
}

}  // namespace

double Cage(const StepView& s, const Episode& e, const Vec3& p, const CageShape& shape,
            const Vec3& p0) {
  const auto side = [&](const Vec3& pad) {
    return T2(std::abs(pad[1] - p[1]), shape.radius, shape.pad_margin,
              std::abs(std::abs(pad[1] - p0[1]) - shape.pad_margin));
  };
  const double across = H(side(s.world.LeftPad()), side(s.world.RightPad()));
  const double caged = H(across, Over(s, e, p, p0, shape.xz_bound));
  const double grip = caged > 0.97 ? Clip(s.a[3], 0, shape.effort) / shape.effort : 0;
  const double gripped = H(caged, grip);
  switch (shape.density) {
    case CageShape::kPlain:
      return gripped;
    case CageShape::kHigh:
      return (gripped + caged) / 2;
    case CageShape::kMedium: {
      const double reach0 = Norm(p0 - e.tcp0);
      return (gripped +
              T(Norm(p - s.tcp), shape.medium_bound, std::abs(reach0 - shape.medium_bound))) /
             2;
    }
  }
  return gripped;
}

double CageSweep(const StepView& s, const Episode& e, const Vec3& p, const SweepShape& shape) {
  const double across = PadsBeside(s, p, shape.radius, 0.05);
  const double caged = H(across, Over(s, e, p, e.obj0, shape.xz_bound));
  const double gripped =
      caged > 0.95 ? PadsBeside(s, p, shape.radius, shape.radius + shape.grip_margin) : 0;
  return (caged + gripped) / 2;
}

double CagePick(const StepView& s, const Episode& e, const Vec3& p) {
  const double caged = H(PadsBeside(s, p, 0.015, 0.05), Over(s, e, p, e.obj0, 0.005));
  const double grip = caged > 0.97 ? Clip(s.a[3], 0, 1) : 0;
  return (H(caged, grip) + caged) / 2;
}

}  // namespace mentor::envs::metaworld
