// PPO's clipped surrogate of one step (docs/algorithms/ppo.md#the-update), in double: of agents'
// policies and, in outer PPO, of signals. Host and device. Pure; threads may share.
#pragma once

#include <cmath>

#include "common/exact_math_inline.h"

namespace mentor::learner {

struct ClippedStep {
  double ratio;       // Of the densities now and when the output was made.
  double loss;        // max(-advantage ratio, -advantage clamp(ratio, 1 - clip, 1 + clip))
  double kl;          // ratio - 1 - ln ratio: estimates the divergence (Schulman's k3).
  double clipped;     // 1 when the ratio is out of range.
  double d_log_prob;  // Of loss / count, by the log-density now.
};

MENTOR_HD ClippedStep ClippedSurrogate(double log_prob, double recorded_log_prob, double advantage,
                                       double clip, double count) {
  const double log_ratio = log_prob - recorded_log_prob, ratio = exact::inlined::Exp(log_ratio);
  const double low = 1 - clip, high = 1 + clip;
  const double clamped = ratio < low ? low : ratio > high ? high : ratio;  // NaN stays NaN.
  const double plain_loss = -advantage * ratio, clamped_loss = -advantage * clamped;
  const bool plain = !(plain_loss < clamped_loss);
  // Inside the range both are the same; outside, only the plain one has a gradient.
  return {ratio, plain ? plain_loss : clamped_loss, (ratio - 1) - log_ratio,
          fabs(ratio - 1) > clip ? 1.0 : 0.0,
          (plain || clamped == ratio ? -advantage : 0) * ratio / count};
}

}  // namespace mentor::learner
