// PPO's terms of one step (methods/ppo/README.md#the-update), in double: the clipped surrogate, for
// agents' policies and, in outer PPO, for signals, and the loss of a value. Host and device. Pure;
// threads may share.
#pragma once

#include <cmath>

#include "common/device_code.h"
#include "common/exact_math_inline.h"

namespace mentor::kernels {

struct ClippedStep {
  double ratio;       // The density now over the density when the output was made.
  double loss;        // max(-advantage ratio, -advantage clamp(ratio, 1 - clip, 1 + clip))
  double kl;          // ratio - 1 - ln ratio: estimates the divergence (Schulman's k3).
  double clipped;     // 1 when the ratio is out of range.
  double d_log_prob;  // Derivative of loss / count by the log-density now.
};

MENTOR_HD ClippedStep ClippedSurrogate(double log_prob, double recorded_log_prob, double advantage,
                                       double clip, double count) {
  const double log_ratio = log_prob - recorded_log_prob, ratio = exact::inlined::Exp(log_ratio);
  const double low = 1 - clip, high = 1 + clip;
  const double clamped = ratio < low ? low : ratio > high ? high : ratio;  // NaN stays NaN.
  const double plain_loss = -advantage * ratio, clamped_loss = -advantage * clamped;
  const bool plain = !(plain_loss < clamped_loss);
  // Inside the range both are equal; outside, only the plain one has a gradient.
  return {ratio, plain ? plain_loss : clamped_loss, (ratio - 1) - log_ratio,
          fabs(ratio - 1) > clip ? 1.0 : 0.0,
          (plain || clamped == ratio ? -advantage : 0) * ratio / count};
}

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

}  // namespace mentor::kernels
