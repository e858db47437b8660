// PPO's clipped surrogate of one step (methods/ppo/README.md#the-update), in double: for agents'
// policies and, in outer PPO, for signals. Host and device. Pure; threads may share.
#pragma once

#include <cmath>

#include "common/exact_math_inline.h"

namespace mentor::learner {

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

}  // namespace mentor::learner
