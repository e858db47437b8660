// A hash over fixed LibTorch results on the CPU: equal hashes mean that two learners compute the
// same last bits.
#pragma once

#include <string>

namespace mentor::learner {

// Hexadecimal. Computed once; after FixNumerics.
const std::string& TorchFingerprint();

}  // namespace mentor::learner
