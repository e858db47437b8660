// PPO's loss of one value (methods/ppo/README.md#the-update), in double. Host and device. Pure;
// threads may share.
#pragma once

#include "common/device_code.h"

namespace mentor::learner {

struct ValueStep {
  double square;     // Squared error; the greater one when changes are clipped.
  double slope;      // Derivative of half of it by the value,
  double curvature;  // and of that by the value.
};

MENTOR_HD ValueStep SquaredError(double value, double target) {
  const double error = value - target;
  return {error * error, error, 1};
}

// The value may move by `clip` from the old one. If it moved further, the error of the clipped
// value counts too.
MENTOR_HD ValueStep ClippedSquaredError(double value, double target, double old, double clip) {
  const ValueStep plain = SquaredError(value, target);
  const double change = value - old;
  const double moved = change < -clip ? -clip : change > clip ? clip : change;
  const double error = old + moved - target, square = error * error;
  const double slope = moved == change ? error : 0;
  const double curvature = moved == change ? 1 : 0;
  if (plain.square < square) return {square, slope, curvature};
  if (plain.square == square)
    return {plain.square, 0.5 * (plain.slope + slope), 0.5 * (1 + curvature)};
  return plain;
}

}  // namespace mentor::learner
