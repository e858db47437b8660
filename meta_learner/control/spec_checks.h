// The check of a spec makes its parts, which takes tens of milliseconds; sweeps submit the same
// spec with many seeds. So specs that were found valid are remembered. Thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "common/violations.h"
#include "mentor/v1/spec.pb.h"

namespace mentor::meta_learner {

using SpecCheck = std::function<void(const v1::ExperimentSpec& spec, Violations* violations)>;

// The same check, but for specs that only differ in seed and title from one that was valid lately.
SpecCheck RememberValid(SpecCheck check);

}  // namespace mentor::meta_learner
