// The loss of outer PPO and its derivatives, a recorded step at a time, in double and without libm
// (docs/algorithms/black_box.md#outer-update): the same bits on every machine.
#pragma once

#include <cmath>

#include "learner/kernels/clipped_surrogate.h"
#include "learner/signals/piece_gradient.h"

namespace mentor::meta_learner {

struct OuterLossConfig {
  double clip = 0.2;
  double entropy_coef = 0.003;
  double value_coef = 0.5;
};

struct RecordedStep {
  double log_prob = 0;   // Of the output when it was made.
  double advantage = 0;  // Standardised.
  double target = 0;     // Of the value head.
};

// Sums over steps in the order in which they are added. Not thread-safe.
class OuterLoss {
 public:
  // The loss is a mean over so many steps, of which these are some.
  OuterLoss(const OuterLossConfig& config, double numbers) : config_(config), numbers_(numbers) {}

  // Adds a step, and returns the derivatives of the mean by what is said of it.
  learner::StepTerms Add(const learner::StepTerms& now, const RecordedStep& recorded) {
    const learner::ClippedStep step = learner::ClippedSurrogate(
        now.log_prob, recorded.log_prob, recorded.advantage, config_.clip, numbers_);
    const double error = std::abs(step.ratio - 1), value_error = now.value - recorded.target;
    pg_ += step.loss;
    entropy_ += now.entropy;
    value_ += 0.5 * (value_error * value_error);
    kl_ += step.kl;
    clipped_ += step.clipped;
    // A NaN comes in and stays.
    if (std::isnan(error) || error > rho_error_) rho_error_ = error;
    return {.log_prob = step.d_log_prob,
            .entropy = -config_.entropy_coef / numbers_,
            .value = config_.value_coef * value_error / numbers_};
  }

  double pg() const { return pg_; }
  double entropy() const { return entropy_; }
  double value() const { return value_; }  // Halves of squared errors.
  double kl() const { return kl_; }
  double clipped() const { return clipped_; }      // Steps whose ratio is out of range.
  double rho_error() const { return rho_error_; }  // max |rho - 1|

 private:
  OuterLossConfig config_;
  double numbers_;
  double pg_ = 0, entropy_ = 0, value_ = 0, kl_ = 0, clipped_ = 0, rho_error_ = 0;
};

}  // namespace mentor::meta_learner
