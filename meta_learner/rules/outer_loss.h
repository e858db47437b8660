// The loss of outer PPO and its derivatives, a recorded step at a time, in double and without libm
// (docs/algorithms/black_box.md#outer-update): the same bits on every machine.
#pragma once

#include "learner/kernels/outer_step.h"

namespace mentor::meta_learner {

using learner::OuterLossConfig;
using learner::RecordedStep;
using learner::StepTerms;

// Sums over steps in the order in which they are added. Not thread-safe.
class OuterLoss {
 public:
  // The loss is a mean over so many steps, of which these are some.
  OuterLoss(const OuterLossConfig& config, double numbers) : config_(config), numbers_(numbers) {}

  // Adds a step, and returns the derivatives of the mean by what is said of it.
  StepTerms Add(const StepTerms& now, const RecordedStep& recorded) {
    const auto [terms, derivatives] = learner::EvaluateOuterStep(config_, numbers_, now, recorded);
    sums_.pg += terms.pg;
    sums_.entropy += terms.entropy;
    sums_.value += terms.value;
    sums_.kl += terms.kl;
    sums_.clipped += terms.clipped;
    sums_.rho_error = learner::GreaterRhoError(sums_.rho_error, terms.rho_error);
    return derivatives;
  }

  double pg() const { return sums_.pg; }
  double entropy() const { return sums_.entropy; }
  double value() const { return sums_.value; }  // Halves of squared errors.
  double kl() const { return sums_.kl; }
  double clipped() const { return sums_.clipped; }      // Steps whose ratio is out of range.
  double rho_error() const { return sums_.rho_error; }  // max |rho - 1|

 private:
  OuterLossConfig config_;
  double numbers_;
  learner::OuterLossTerms sums_;
};

}  // namespace mentor::meta_learner
