#include "envs/metaworld/task.h"

#include <cmath>

namespace mentor::envs::metaworld {

double Cage(const StepView& s, const Episode& e, const Vec3& p, const CageShape& shape,
            const Vec3& p0) {
  const auto side = [&](const Vec3& pad) {
    return T2(std::abs(pad[1] - p[1]), shape.radius, shape.pad_margin,
              std::abs(std::abs(pad[1] - p0[1]) - shape.pad_margin));
  };
  const double across = H(side(s.world.LeftPad()), side(s.world.RightPad()));
  const Vec3 off = s.tcp - p, off0 = p0 - e.tcp0;
  const double along =
      T(Norm(off[0], off[2]), shape.xz_bound, Norm(off0[0], off0[2]) - shape.xz_bound);
  const double caged = H(across, along);
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

}  // namespace mentor::envs::metaworld
