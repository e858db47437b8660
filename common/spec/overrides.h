// "path.to.field=value": changes of a spec that a command line makes. Pure; threads may share.
#pragma once

#include <string>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

// The forms stand beside ParseSpec in spec.h. Ranges are checked later.
void ApplyOverride(const std::string& text, v1::ExperimentSpec* spec, Violations* violations);

}  // namespace mentor::spec
