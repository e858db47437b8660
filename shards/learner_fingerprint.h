// The fingerprint of a learner's arithmetic. Learners with equal fingerprints make the same bits,
// whatever their devices, so an experiment may continue with any of them.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "kernels/device.h"

namespace mentor::learner {

// A hexadecimal hash of LibTorch's results on this CPU, and of the kernels of the inner PPO and the
// LSTM signal network on the device. A sound device makes the CPU's bits. Call it after
// FixNumerics; the CPU's is computed once.
std::string LearnerFingerprint(const Device& device = {});

// The results that it hashes.
std::vector<torch::Tensor> LibTorchResults();
std::vector<torch::Tensor> KernelResults(const Device& device);

}  // namespace mentor::learner
