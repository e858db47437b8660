// The fingerprint of a learner's arithmetic. Learners with equal fingerprints make the same bits,
// whatever their devices, so an experiment may continue with any of them.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "kernels/device.h"

namespace mentor::learner {

// kArithmetic for the CPU, since FixNumerics proves it, and for a device whose kernels make the
// CPU's bits, as sound ones do. Otherwise a hash of what the device's kernels compute, as long.
std::string LearnerFingerprint(const Device& device = {});

// Results of the kernels of the inner PPO and of the LSTM signal network.
std::vector<torch::Tensor> KernelResults(const Device& device);

}  // namespace mentor::learner
