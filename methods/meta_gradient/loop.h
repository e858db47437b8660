// What the rule meta_gradient asks of its agents' options.
#pragma once

#include "common/options.h"

namespace mentor::learner {

// True if the agents' gradients are differentiated with respect to their weights too.
bool IsSecondOrder(const OptionValues& options);

}  // namespace mentor::learner
