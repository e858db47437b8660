// Options of the agents of rule meta_gradient, which the rule reads too.
#pragma once

#include "common/options.h"

namespace mentor::methods {

// True if the agents' gradients are differentiated with respect to their weights too.
bool IsSecondOrder(const OptionValues& options);

}  // namespace mentor::methods
