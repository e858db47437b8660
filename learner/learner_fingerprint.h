// What a learner's arithmetic says of itself: learners with the same fingerprint make the same
// bits, whatever their devices, so an experiment may go on with any of them.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "learner/kernels/device.h"

namespace mentor::learner {

// Hexadecimal: of what LibTorch computes on this CPU, and of what the kernels of the inner PPO and
// of the LSTM signal network compute on the device, which makes the CPU's bits when nothing is
// wrong with it. After FixNumerics; the CPU's is computed once.
std::string LearnerFingerprint(const Device& device = {});

// What it hashes.
std::vector<torch::Tensor> LibTorchResults();
std::vector<torch::Tensor> KernelResults(const Device& device);

}  // namespace mentor::learner
