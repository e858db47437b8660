// Changes of a spec from the command line: "path.to.field=value". Pure; threads may share.
#pragma once

#include <string>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::spec {

// ParseSpec in spec.h documents the forms. Ranges are checked later.
void ApplyOverride(const std::string& text, v1::ExperimentSpec* spec, Violations* violations);

}  // namespace mentor::spec
