// The distribution of a signal, from the outputs of the LSTM network's heads. Host and device.
// Pure; threads may share.
#pragma once

#include "common/exact_math.h"
#include "common/exact_math_inline.h"

namespace mentor::kernels {

// The distribution of one signal, in double.
struct SignalDistribution {
  double mean, log_std, std;

  // The mean is the arc tangent of `slope`; the standard deviation is e^s times initial_std.
  MENTOR_HD SignalDistribution(double slope, double s, double log_initial_std)
      : mean(exact::inlined::Atan(slope)),
        log_std(s + log_initial_std),
        std(exact::inlined::Exp(log_std)) {}
  MENTOR_HD double LogDensity(double y) const {
    const double u = (y - mean) / std;
    return -0.5 * u * u - log_std - exact::kHalfLogTwoPi;
  }
};

}  // namespace mentor::kernels
