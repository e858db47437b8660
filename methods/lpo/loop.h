// How agents vary their drift (methods/lpo/README.md#the-outer-update). The rule reads the same
// options. Pure functions.
#pragma once

#include "common/options.h"
#include "methods/shared/perturbation.h"

namespace mentor::methods {

struct DriftNoise {
  double sigma = 0;  // In the first outer update.
  Decay decay;
};

const BoundOptions<DriftNoise>& DriftNoiseOptions();

}  // namespace mentor::methods
