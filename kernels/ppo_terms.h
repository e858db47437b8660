// PPO's terms of one step (methods/ppo/README.md#the-update), in double. The clipped surrogate is
// for agents' policies and, in outer PPO, for signals; the drift of DPO is for agents' policies.
// Beside them is the loss of a value. Host and device. Pure; threads may share.
#pragma once

#include <cmath>

#include "common/device_code.h"
#include "common/exact_math_inline.h"

namespace mentor::kernels {

struct SurrogateStep {
  double ratio;    // The density now over the density when the output was made.
  double loss;     // max(-advantage ratio, -advantage clamp(ratio, 1 - clip, 1 + clip)), or DPO's
  double kl;       // ratio - 1 - ln ratio: estimates the divergence (Schulman's k3).
  double clipped;  // 1 when the ratio is out of range.
  double d_log_prob;    // Derivative of loss / count by the log-density now,
  double by_advantage;  // and of that by the advantage.
};

MENTOR_HD SurrogateStep ClippedSurrogate(double log_prob, double recorded_log_prob,
                                         double advantage, double clip, double count) {
  const double log_ratio = log_prob - recorded_log_prob, ratio = exact::inlined::Exp(log_ratio);
  const double low = 1 - clip, high = 1 + clip;
  const double clamped = ratio < low ? low : ratio > high ? high : ratio;  // NaN stays NaN.
  const double plain_loss = -advantage * ratio, clamped_loss = -advantage * clamped;
  const bool plain = !(plain_loss < clamped_loss);
  // Inside the range both are equal; outside, only the plain one has a gradient.
  const double slope = (plain || clamped == ratio ? -advantage : 0) * ratio / count;
  return {ratio, plain ? plain_loss : clamped_loss, (ratio - 1) - log_ratio,
          fabs(ratio - 1) > clip ? 1.0 : 0.0, slope,
          // The slope is linear in the advantage, where the loss follows the ratio.
          advantage != 0 ? slope / advantage : -ratio / count};
}

// Constants of DPO's drift (methods/ppo/README.md#the-drift-of-dpo).
struct Drift {
  double alpha = 2;   // Where the advantage is not negative,
  double beta = 0.6;  // and where it is.
};

// -advantage ratio + scale relu(x - tanh(x)), with x = gain / scale, and gain the change of the
// policy in the advantage's direction: of the ratio, or of its logarithm. `clip` is that of the
// share of clipped steps.
MENTOR_HD SurrogateStep DriftSurrogate(double log_prob, double recorded_log_prob, double advantage,
                                       double clip, const Drift& drift, double count) {
  const double log_ratio = log_prob - recorded_log_prob, ratio = exact::inlined::Exp(log_ratio);
  const bool rises = advantage >= 0;
  const double gain = (rises ? ratio - 1 : log_ratio) * advantage;
  const double scale = rises ? drift.alpha : drift.beta;
  const double x = gain > 0 ? gain / scale : 0, bent = exact::inlined::Tanh(x);
  // The derivative of the drift by the log-density is advantage times this.
  const double pull = bent * bent * (rises ? ratio : 1);
  return {ratio,
          scale * (x - bent) - advantage * ratio,
          (ratio - 1) - log_ratio,
          fabs(ratio - 1) > clip ? 1.0 : 0.0,
          advantage * (pull - ratio) / count,
          (pull - ratio + 2 * (rises ? ratio : 1) * bent * (1 - bent * bent) * x) / count};
}

// What keeps a policy near the one that collected its steps.
struct Surrogate {
  double clip = 0.2;
  bool has_drift = false;  // In place of the clip.
  Drift drift = {};
};

MENTOR_HD SurrogateStep EvaluateSurrogate(const Surrogate& surrogate, double log_prob,
                                          double recorded_log_prob, double advantage,
                                          double count) {
  if (surrogate.has_drift) {
    return DriftSurrogate(log_prob, recorded_log_prob, advantage, surrogate.clip, surrogate.drift,
                          count);
  }
  return ClippedSurrogate(log_prob, recorded_log_prob, advantage, surrogate.clip, count);
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
