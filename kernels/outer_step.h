// One recorded step's terms of the loss of outer PPO, and the loss's derivatives, in double and
// without libm (methods/black_box/README.md#outer-update). Host and device. Pure; threads may
// share.
#pragma once

#include <cmath>

#include "kernels/ppo_terms.h"

namespace mentor::kernels {

inline constexpr double kEntropyOfUnitNormal = 1.4189385332046727;  // (1 + ln 2 pi) / 2

struct OuterLossConfig {
  double clip = 0.2;
  double entropy_coef = 0.003;
  double value_coef = 0.5;
};

// Outputs of the trained network for a recorded step, or the loss's derivatives by them.
struct StepTerms {
  double log_prob = 0;  // Log-density of the recorded output.
  double entropy = 0;
  double value = 0;
};

struct RecordedStep {
  double log_prob = 0;   // Log-density of the output when it was made.
  double advantage = 0;  // Standardised.
  double target = 0;     // Target of the value head.
};

// Terms of one step, or sums over steps.
struct OuterLossTerms {
  double pg = 0;
  double entropy = 0;
  double value = 0;  // Half of the squared error.
  double kl = 0;
  double clipped = 0;    // Steps whose ratio is out of range.
  double rho_error = 0;  // max |rho - 1|
};

struct OuterStep {
  OuterLossTerms terms;
  StepTerms derivatives;  // Derivatives of the mean over `numbers` steps.
};

MENTOR_HD OuterStep EvaluateOuterStep(const OuterLossConfig& config, double numbers,
                                      const StepTerms& now, const RecordedStep& recorded) {
  const SurrogateStep step =
      ClippedSurrogate(now.log_prob, recorded.log_prob, recorded.advantage, config.clip, numbers);
  const double value_error = now.value - recorded.target;
  return {.terms = {.pg = step.loss,
                    .entropy = now.entropy,
                    .value = 0.5 * (value_error * value_error),
                    .kl = step.kl,
                    .clipped = step.clipped,
                    .rho_error = fabs(step.ratio - 1)},
          .derivatives = {.log_prob = step.d_log_prob,
                          .entropy = -config.entropy_coef / numbers,
                          .value = config.value_coef * value_error / numbers}};
}

// The greater of the two; a NaN enters and stays.
MENTOR_HD double GreaterRhoError(double greatest, double error) {
  return error != error || error > greatest ? error : greatest;
}

// Adds one step; the order of steps fixes the sums.
MENTOR_HD void AddTerms(const OuterLossTerms& step, OuterLossTerms* sums) {
  sums->pg += step.pg;
  sums->entropy += step.entropy;
  sums->value += step.value;
  sums->kl += step.kl;
  sums->clipped += step.clipped;
  sums->rho_error = GreaterRhoError(sums->rho_error, step.rho_error);
}

}  // namespace mentor::kernels
